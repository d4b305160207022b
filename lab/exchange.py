"""The local exchange as a program under test: its series, its faults and its true candles."""

from __future__ import annotations

from functools import cache
from itertools import islice, product
from typing import Any

from lab.http import get, send
from lab.program import Program
from market.domain.series import SeriesId
from market.local_exchange.candles import INTERVALS

SYMBOLS = ("BTC", "ETH", "SOL", "BNB", "XRP", "DOGE", "ADA", "LINK", "AVAX", "LTC")
MARKETS = ("spot", "futures")
_INTERVALS = {length_ms: name for name, length_ms in INTERVALS.items()}
TIMEFRAMES = ("1s", "1m", "3m", "5m", "15m", "30m", "1h")


def local_series(count: int, timeframe: str = TIMEFRAMES[0]) -> tuple[str, ...]:
    """Return the first `count` series of the local exchange from a timeframe on.

    Raises ValueError when it has fewer, or not the timeframe.
    """
    if timeframe not in TIMEFRAMES:
        raise ValueError(f"the local exchange has {', '.join(TIMEFRAMES)}, not {timeframe}")
    every = product(TIMEFRAMES[TIMEFRAMES.index(timeframe) :], MARKETS, SYMBOLS)
    names = [f"sim:{market}:{coin}/USDT:{timeframe}" for timeframe, market, coin in every]
    if count > len(names):
        raise ValueError(f"the local exchange has {len(names)} suitable series, not {count}")
    return tuple(islice(names, count))


@cache
def seconds_of(series: str) -> int:
    """Return the length of the series' candles."""
    return SeriesId.parse(series).timeframe.seconds


class Exchange(Program):
    """A running local exchange (docs/local-exchange.md describes its control addresses)."""

    def fault(self, kind: str, series: str = "", **details: Any) -> int:
        """Start a fault or habit, for one series or for all; return its id."""
        scope = {"scope": _key(series)} if series else {}
        body = {"kind": kind, **scope, **details}
        status, answer = send("POST", f"{self.url}/control/faults", body)
        assert status == 201, answer
        return int(answer["id"])

    def end(self, fault: int) -> None:
        """End the fault of this id."""
        status, answer = send("DELETE", f"{self.url}/control/faults/{fault}")
        assert status == 200, answer

    def clear(self) -> None:
        """End every fault."""
        status, answer = send("DELETE", f"{self.url}/control/faults")
        assert status == 200, answer

    def truth(self, series: str, start: int, end: int) -> list[dict[str, Any]]:
        """Return the true closed candles from `start` to `end` (open times, inclusive)."""
        return true_candles(self.url, series, start, end)

    def absences(self, series: str, start: int, end: int) -> list[dict[str, Any]]:
        """Return what can't be read over REST within two open times, and the true reasons."""
        return list(_truth(self.url, series, start, end)["absences"])


def true_candles(url: str, series: str, start: int, end: int) -> list[dict[str, Any]]:
    """Ask the local exchange at `url` for what `Exchange.truth` returns."""
    return list(_truth(url, series, start, end)["candles"])


def _truth(url: str, series: str, start: int, end: int) -> dict[str, Any]:
    query = "&".join(f"{name}={value}" for name, value in _key(series).items())
    status, answer = get(f"{url}/control/truth?{query}&start={start}&end={end}")
    assert status == 200, answer
    return dict(answer)


def _key(series: str) -> dict[str, str]:
    parsed = SeriesId.parse(series)
    symbol = parsed.symbol.replace("/", "")
    # The exchange names a length, whatever its grid.
    interval = _INTERVALS[parsed.timeframe.seconds * 1000]
    return {"market": parsed.market, "symbol": symbol, "interval": interval}
