"""What the store holds after a run: closed candles, and when each was committed.

PostgreSQL writes down every transaction's commit time (track_commit_timestamp) by the machine's
clock, which watchers read their arrivals from too. So no message has to carry a time.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from lab.capacity.topology import Topology, seconds_of

STORED = """
SELECT name, candle_time, extract(epoch FROM pg_xact_commit_timestamp(candles.xmin))::float8
FROM candles JOIN series ON series.id = candles.series_id
WHERE candle_time >= %s ORDER BY name, candle_time
"""


@dataclass(frozen=True, slots=True)
class Stored:
    """Commit times in Unix seconds of closed candles, by (series, open time)."""

    committed: dict[tuple[str, int], float]

    def until(self, end: float) -> dict[str, list[int]]:
        """Open times of candles that were committed by `end`, by series."""
        found: dict[str, list[int]] = {}
        for (name, time), at in self.committed.items():
            if at <= end:
                found.setdefault(name, []).append(time)
        return found


def stored_since(topology: Topology, start: float) -> Stored:
    """Every candle that opened at or after `start`."""
    longest = max(map(seconds_of, topology.layout.series))
    rows = topology.sql(STORED, int(start) - longest)
    return Stored({(name, time): at for name, time, at in rows})


def unstored(topology: Topology, stored: Stored, start: float, end: float) -> tuple[int, list[str]]:
    """How many candles the exchange closed within these times, and those not stored."""
    missing: list[str] = []
    count = 0
    for name in topology.layout.series:
        for time in _closed(topology, name, start, end):
            count += 1
            if (name, time) not in stored.committed:
                missing.append(f"{name} {time}")
    return count, missing


def _closed(topology: Topology, name: str, start: float, end: float) -> Iterator[int]:
    step = seconds_of(name)
    for candle in topology.truth(name, int(start) - step, int(end)):
        time = candle["candle_time"]
        if start <= time + step <= end:
            yield time
