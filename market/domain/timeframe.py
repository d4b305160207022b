"""Timeframes: the length of a candle, and the grid of open times."""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache

from market.domain.calendars import Calendar
from market.domain.explained import Explained
from market.domain.zones import UTC_ZONE, offsets_of, target_of, zone_named

# Months have no length in seconds: `Calendar` has their dates.
MONTH = "M"

UNIT_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}

# 1970-01-01 was a Thursday: the first Monday 00:00 UTC is four days later.
FIRST_MONDAY = 4 * 86_400

# Longer candles are of no use, and their times would exceed what the store can hold.
MAX_SECONDS = 10 * 366 * 86_400

# The end of year 9999: clients can't show a later time.
MAX_TIME = 253_402_300_799

# Between the length and the shift of its grid, or the zone of its dates. Unlike `+` it means
# nothing else in an address.
GRID_MARK = "~"

_COUNT = re.compile(r"[0-9]{1,9}")


class TimeframeError(Explained, ValueError):
    """An invalid timeframe. The message is part of the wire contract."""


@dataclass(frozen=True, slots=True, order=True)
class Timeframe:
    """The length of a candle in seconds, with the text that names it (``1m``, ``4h``, ``1w``).

    `offset` is by how many seconds the grid is shifted from the Unix epoch: weeks open on Mondays,
    and ``1d~16h`` is days that open at 16:00 UTC, which is midnight in Shanghai.

    With a `calendar` the length of candles changes, as of months (``1M``) and of days in a zone
    (``1d~America/New_York``): `seconds` is then the most that one can have. In both cases two
    candles follow each other exactly if they open at most `seconds` apart.
    """

    seconds: int
    text: str
    offset: int = 0
    # The text names it.
    calendar: Calendar | None = field(default=None, compare=False, repr=False)

    @staticmethod
    def parse(text: str) -> Timeframe:
        """Parse ``<count><unit>`` with unit s, m, h, d, w or M.

        After a ``~`` there may be a shift of the grid, or for days, weeks and months the name of a
        time zone. Raises TimeframeError for anything else.
        """
        return _parse(text.strip())

    def open_of(self, time: float) -> int:
        """The open time of the candle that covers `time` (both Unix seconds, UTC)."""
        if self.calendar is not None:
            return self.calendar.open_of(time)
        offset, seconds = self.offset, self.seconds
        return int((time - offset) // seconds) * seconds + offset

    def close_of(self, open_time: int) -> int:
        """The time at which the candle that opens at `open_time` closes."""
        if self.calendar is not None:
            return self.calendar.close_of(open_time)
        return open_time + self.seconds

    def moved(self, open_time: int, by: int) -> int:
        """The open time of the candle `by` candles after the one that opens at `open_time`."""
        if self.calendar is not None:
            return self.calendar.moved(open_time, by)
        return open_time + by * self.seconds

    def steps(self, start: int, end: int) -> int:
        """How many candles after the one that opens at `start` the one at `end` is."""
        if self.calendar is not None:
            return self.calendar.steps(start, end)
        return (end - start) // self.seconds

    def closed_by(self, time: int) -> int:
        """The latest open time of a candle that has closed at `time`, on the grid or not."""
        if self.calendar is not None:
            return self.calendar.moved(time, -1)
        return time - self.seconds

    def first_open(self, time: int) -> int:
        """The first open time at or after `time`."""
        if self.calendar is not None:
            opened = self.calendar.open_of(time)
            return opened if opened == time else self.calendar.close_of(time)
        return self.open_of(time + self.seconds - 1)

    def lacking(self, head: int, newest: int) -> int:
        """How many candles a series with the newest candle `head` lacks up to that at `newest`."""
        if self.calendar is not None:
            return max(0, self.steps(head, newest))
        return -(-max(0, newest - head) // self.seconds)

    def is_aligned(self, time: int) -> bool:
        """Whether `time` lies on this timeframe's grid of open times."""
        if self.calendar is not None:
            return self.calendar.open_of(time) == time
        return (time - self.offset) % self.seconds == 0

    def latest_closed(self, now: float) -> int:
        """The open time of the newest candle that has closed at `now`; 0 before the first one."""
        if self.calendar is not None:
            return max(0, self.calendar.moved(int(now // 1), -1))
        return max(0, self.open_of(now) - self.seconds)

    def canonical(self) -> Timeframe:
        """The one timeframe with this length and grid by which its series are stored: 1h for 60m.

        It has the longest unit that fits, and no shift where there is a name without one: weeks
        that open on Thursdays are 7d. A zone has the name of which others are aliases. Days and
        weeks of a zone whose offset from UTC has been the same since 1970 are a fixed grid.
        """
        if self.calendar is not None:
            return _canonical_of(self.calendar)
        return _canonical(self.seconds, self.offset)

    def with_grid(self, offset: int) -> Timeframe:
        """The canonical timeframe of this length whose candles open `offset` after the epoch.

        Not for one with a calendar.
        """
        return _canonical(self.seconds, offset % self.seconds)

    def __str__(self) -> str:
        return self.text


@lru_cache(maxsize=256)
def _canonical(seconds: int, offset: int) -> Timeframe:
    units = [unit for unit, length in UNIT_SECONDS.items() if seconds % length == 0]
    # Only weeks have a grid of their own.
    unit = units[-1] if offset or units[-1] != "w" else "d"
    by = (offset - (FIRST_MONDAY if unit == "w" else 0)) % seconds
    return _parse(f"{seconds // UNIT_SECONDS[unit]}{unit}" + (f"{GRID_MARK}{by}s" if by else ""))


@lru_cache(maxsize=256)
def _canonical_of(calendar: Calendar) -> Timeframe:
    unit, count, zone = calendar.unit, calendar.count, calendar.zone
    offsets = offsets_of(zone)
    if unit == MONTH and offsets == {0}:
        return _parse(f"{count}{MONTH}")
    if unit != MONTH and len(offsets) == 1:
        plain = _unshifted(f"{count}{unit}")
        return _canonical(plain.seconds, (plain.offset - min(offsets)) % plain.seconds)
    return _parse(f"{count}{unit}{GRID_MARK}{target_of(zone.name)}")


@lru_cache(maxsize=256)
def _parse(text: str) -> Timeframe:
    length, mark, shift = text.partition(GRID_MARK)
    if shift[:1].isalpha():
        return _in_zone(text, length, shift)
    if length.endswith(MONTH):
        if mark:
            raise TimeframeError(
                "months are not shifted, they are those of a time zone: %(text)r", text=text
            )
        return _of_calendar(text, length, "")
    if not mark:
        return _unshifted(text)
    plain = _unshifted(length)
    # The grid repeats after one candle: equal grids must give the same key in the store.
    by = _unshifted(shift).seconds % plain.seconds
    if not by:
        return plain
    shown = next(unit for unit in reversed(UNIT_SECONDS) if by % UNIT_SECONDS[unit] == 0)
    name = f"{plain.text}{GRID_MARK}{by // UNIT_SECONDS[shown]}{shown}"
    return Timeframe(plain.seconds, name, (plain.offset + by) % plain.seconds)


def _in_zone(text: str, length: str, name: str) -> Timeframe:
    try:
        zone = zone_named(name)
    except ModuleNotFoundError as error:
        raise TimeframeError("time zones need the package tzdata: %(text)r", text=text) from error
    if zone is None:
        raise TimeframeError("unknown time zone: %(zone)r", zone=name)
    if length[-1:] not in ("d", "w", MONTH):
        raise TimeframeError("only days, weeks and months have a time zone: %(text)r", text=text)
    return _of_calendar(text, length, zone.name)


def _of_calendar(text: str, length: str, zone_name: str) -> Timeframe:
    count, unit = length[:-1], length[-1]
    zone = (zone_named(zone_name) if zone_name else None) or UTC_ZONE
    calendar = Calendar(unit, int(count), zone) if _COUNT.fullmatch(count) else None
    if calendar is None or not calendar.is_possible:
        if unit == MONTH:
            raise TimeframeError(
                "months divide a year (1M, 2M, 3M, 4M, 6M, 12M): %(text)r", text=text
            )
        raise TimeframeError("invalid timeframe: %(text)r", text=text)
    name = f"{calendar.count}{unit}" + (f"{GRID_MARK}{zone_name}" if zone_name else "")
    return Timeframe(calendar.longest_s, name, calendar=calendar)


def _unshifted(text: str) -> Timeframe:
    if not text:
        raise TimeframeError("empty timeframe")
    count, unit = text[:-1], text[-1]
    if unit not in UNIT_SECONDS:
        raise TimeframeError("unsupported timeframe unit: %(unit)r", unit=unit)
    if not _COUNT.fullmatch(count) or not 0 < int(count) * UNIT_SECONDS[unit] <= MAX_SECONDS:
        raise TimeframeError("invalid timeframe: %(text)r", text=text)
    # "01m" and "1m" are the same timeframe, so they must give the same key in the store.
    offset = FIRST_MONDAY if unit == "w" else 0
    return Timeframe(int(count) * UNIT_SECONDS[unit], f"{int(count)}{unit}", offset)


def timeframes_named(names: Iterable[object]) -> dict[str, Timeframe]:
    """The timeframes among some names; other names are left out."""
    found = {}
    for name in map(str, names):
        with suppress(TimeframeError):
            found[name] = Timeframe.parse(name)
    return found


def followable_named(names: Iterable[object]) -> dict[str, Timeframe]:
    """The timeframes among an exchange's names of which candles are followed.

    Without months: where an exchange opens them can't be learned, so they are only derived.
    """
    found = timeframes_named(names)
    return {name: timeframe for name, timeframe in found.items() if timeframe.calendar is None}
