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
_TIMEFRAME = re.compile(r"([0-9]{1,9})([smhdw])(~.+)?")


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
    """Return the seconds of a candle of `exchange:market:symbol:timeframe`. Raises ValueError."""
    found = _TIMEFRAME.fullmatch(series_id.rpartition(":")[2].strip())
    if found is None or not int(found[1]):
        raise ValueError(f"not a series id (exchange:market:symbol:timeframe): {series_id!r}")
    return int(found[1]) * UNIT_SECONDS[found[2]]
