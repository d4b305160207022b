"""The local exchange as a test sees it: faults to put in force, and the true candles."""

from __future__ import annotations

from typing import Any

from market.domain.series import SeriesId
from tests.processes import RunningProcess, delete, get, post


class Exchange:
    """Talks to the control addresses of a running local exchange (docs/local-exchange.md)."""

    def __init__(self, process: RunningProcess) -> None:
        self._url = f"{process.url}/control"

    def fault(self, kind: str, series_id: str, **more: Any) -> None:
        """Put a fault in force for one series."""
        status, answer = post(
            f"{self._url}/faults", {"kind": kind, "scope": _key(series_id), **more}
        )
        assert status == 201, answer

    def clear(self) -> None:
        """End every fault."""
        status, answer = delete(f"{self._url}/faults")
        assert status == 200, answer

    def truth(self, series_id: str, start: int, end: int) -> list[dict[str, Any]]:
        """The closed candles from `start` to `end` (open times, inclusive) as they really are."""
        query = "&".join(f"{name}={value}" for name, value in _key(series_id).items())
        status, answer = get(f"{self._url}/truth?{query}&start={start}&end={end}")
        assert status == 200, answer
        return list(answer["candles"])


def _key(series_id: str) -> dict[str, str]:
    series = SeriesId.parse(series_id)
    symbol = series.symbol.replace("/", "")
    return {"market": series.market, "symbol": symbol, "interval": str(series.timeframe)}
