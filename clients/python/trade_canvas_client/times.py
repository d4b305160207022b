"""Times as callers write them, and the length of a series' candles."""

from __future__ import annotations

import math
import re
from datetime import UTC, date, datetime

Moment = int | float | str | date
"""Unix seconds, ISO 8601 text, or a date or datetime; without a zone it is UTC."""

LAST_SECOND = 253_402_300_799
"""The end of the year 9999."""

UNIT_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_TIMEFRAME = re.compile(r"([0-9]{1,9})([smhdwM])(?:~(.+))?")
# The fewest and the most days of so many months in a row.
MONTHS = {1: (28, 31), 2: (59, 62), 3: (90, 92), 4: (120, 123), 6: (181, 184), 12: (365, 366)}
# By how much a day of a time zone may be shorter or longer than another.
TURN_S = 3 * 3_600


def first_second(moment: Moment) -> int:
    """Return the first whole Unix second at or after a time. Raises ValueError."""
    return math.ceil(_unix(moment))


def last_second(moment: Moment) -> int:
    """Return the last whole Unix second at or before a time. Raises ValueError."""
    return math.floor(_unix(moment))


def _unix(moment: Moment) -> float:
    seconds = _seconds(moment)
    if not -LAST_SECOND <= seconds <= LAST_SECOND:
        raise ValueError(f"not a time in Unix seconds: {moment!r} (are these milliseconds?)")
    return seconds


def _seconds(moment: Moment) -> float:
    if isinstance(moment, str):
        moment = datetime.fromisoformat(moment)
    if isinstance(moment, datetime):
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    if isinstance(moment, date):
        return datetime(moment.year, moment.month, moment.day, tzinfo=UTC).timestamp()
    if isinstance(moment, bool):
        raise ValueError("a boolean is not a time")
    return moment


def step_of(series_id: str) -> int:
    """Return the seconds of a candle of `exchange:market:symbol:timeframe`. Raises ValueError.

    Of months and of days and weeks of a time zone those of the longest.
    """
    return _lengths_of(series_id)[1]


def shortest_step_of(series_id: str) -> int:
    """Return the seconds of the shortest candle of a series. Raises ValueError."""
    return _lengths_of(series_id)[0]


def _lengths_of(series_id: str) -> tuple[int, int]:
    found = _TIMEFRAME.fullmatch(series_id.rpartition(":")[2].strip())
    count = int(found[1]) if found else 0
    if found is None or not count or (found[2] == "M" and count not in MONTHS):
        raise ValueError(f"not a series id (exchange:market:symbol:timeframe): {series_id!r}")
    turn = TURN_S if found[3] and found[3][0].isalpha() else 0
    if found[2] == "M":
        shortest, longest = (days * UNIT_SECONDS["d"] for days in MONTHS[count])
    else:
        shortest = longest = count * UNIT_SECONDS[found[2]]
    return shortest - turn, longest + turn
