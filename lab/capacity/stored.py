"""What the store holds after a run: closed candles, and when each was committed.

PostgreSQL records every transaction's commit time (track_commit_timestamp) by the machine's clock,
which watchers read their arrivals from too. So no message has to carry a time.
"""

from __future__ import annotations

from dataclasses import dataclass

from lab.exchange import seconds_of
from lab.installation import Installation

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
        """Return open times of candles that were committed by `end`, by series."""
        found: dict[str, list[int]] = {}
        for (name, time), at in self.committed.items():
            if at <= end:
                found.setdefault(name, []).append(time)
        return found


def stored_since(installation: Installation, start: float) -> Stored:
    """Return every candle that opened at or after `start`, or was open then."""
    longest = max(map(seconds_of, installation.series))
    rows = installation.sql(STORED, int(start) - longest)
    return Stored({(name, time): at for name, time, at in rows})


def unstored(
    installation: Installation, stored: Stored, start: float, end: float
) -> tuple[int, list[str]]:
    """Return how many candles the exchange closed within these times, and those not stored."""
    closed = [
        (name, candle["candle_time"])
        for name in installation.series
        for candle in installation.exchange.truth(name, int(start) - seconds_of(name), int(end))
        if start <= candle["candle_time"] + seconds_of(name) <= end
    ]
    return len(closed), [f"{key[0]} {key[1]}" for key in closed if key not in stored.committed]
