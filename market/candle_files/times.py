"""Times as files have them: numbers in four units, recognised by size, and ISO 8601."""

from __future__ import annotations

import re
from datetime import datetime, tzinfo
from decimal import Decimal
from typing import NamedTuple

from market.domain.timeframe import MAX_TIME

ISO = "ISO 8601"


class Unit(NamedTuple):
    """A unit of numeric times."""

    name: str
    per_second: int


UNITS = (
    Unit("seconds", 1),
    Unit("milliseconds", 1_000),
    Unit("microseconds", 1_000_000),
    Unit("nanoseconds", 1_000_000_000),
)

_WHOLE = re.compile(r"[+-]?[0-9]{1,30}")
_DECIMAL = re.compile(r"[+-]?[0-9]{1,30}(\.[0-9]{0,30})?([eE][+-]?[0-9]{1,2})?")
_DATE = re.compile(r"[0-9]{4}([-./])[0-9]{2}\1[0-9]{2}(?![0-9])")
_COMPACT_DATE = re.compile(r"([0-9]{4})([0-9]{2})([0-9]{2})(?: ([0-9]{2})([0-9]{2})([0-9]{2}))?")
# CryptoDataDownload's older files: "2020-07-01 12-AM".
_HOUR = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2}) ([0-9]{2})-([AP]M)")


class TimeRefused(ValueError):
    """A value that is no open time; `code` is stable."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def unit_of(number: int) -> Unit:
    """The coarsest unit in which a number is a time before the year 10000.

    A time read in the wrong unit would lie in the far future or in January 1970. Raises TimeRefused
    for a number that is too large in every unit.
    """
    size = abs(number)
    for unit in UNITS:
        if size <= MAX_TIME * unit.per_second:
            return unit
    raise TimeRefused("bad_time", "candle_time is too large in every unit")


def whole_seconds(number: int, unit: Unit) -> int:
    """A time in Unix seconds; raises TimeRefused for a part of a second."""
    seconds, rest = divmod(number, unit.per_second)
    if rest:
        # Exchanges give the close time as the last instant before the next candle opens.
        is_close = rest * 1_000 // unit.per_second == 999
        raise _not_open() if is_close else _not_whole()
    return seconds


def read_time(text: str, zone: tzinfo) -> tuple[int, str]:
    """Unix seconds and the name of the form; raises TimeRefused.

    `zone` is the time zone of dates and times that name none.
    """
    if _WHOLE.fullmatch(text):
        number = int(text)
        unit = unit_of(number)
        return whole_seconds(number, unit), unit.name
    if _DECIMAL.fullmatch(text):
        # Exact, unlike a float: nanoseconds have 19 digits.
        exact = Decimal(text)
        unit = unit_of(int(exact))
        if exact % 1 and unit.per_second > 1:
            raise _not_whole()
        return whole_seconds(
            int(exact * 1_000), Unit(unit.name, unit.per_second * 1_000)
        ), unit.name
    return _seconds_of(_moment(text), zone), ISO


def read_compact_time(text: str, zone: tzinfo) -> tuple[int, str]:
    """The same for dates without separators, ``20231114`` or ``20231114 221500``."""
    found = _COMPACT_DATE.fullmatch(text)
    if found is None:
        raise _no_time()
    year, month, day, *clock = found.groups(default="00")
    return _seconds_of(_parsed(f"{year}-{month}-{day}T{':'.join(clock)}"), zone), ISO


def _moment(text: str) -> datetime:
    if (hour := _HOUR.fullmatch(text)) is not None:
        day, clock, half = hour.groups()
        return _parsed(f"{day}T{int(clock) % 12 + 12 * (half == 'PM'):02d}:00:00")
    if not text.isascii() or _DATE.match(text) is None:
        raise _no_time()
    date, rest = text[:10].replace(".", "-").replace("/", "-"), text[10:]
    return _parsed(date + rest.removesuffix(" UTC"))


def _parsed(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise _no_time() from None


def _seconds_of(moment: datetime, zone: tzinfo) -> int:
    if moment.microsecond:
        raise _not_open() if moment.microsecond >= 999_000 else _not_whole()
    return int((moment if moment.tzinfo else moment.replace(tzinfo=zone)).timestamp())


def _no_time() -> TimeRefused:
    return TimeRefused("bad_time", "candle_time is not a time")


def _not_whole() -> TimeRefused:
    return TimeRefused("bad_time", "candle_time is not whole seconds")


def _not_open() -> TimeRefused:
    return TimeRefused("close_time", "candle_time is a close time, the open time is needed")
