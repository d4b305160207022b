"""Candles whose length changes: months, and days and weeks of a zone with daylight saving time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime

from market.domain.zones import DAY_S, UTC_ZONE, Zone, dates_left_out

_EPOCH = date(1970, 1, 1).toordinal()
# 1970-01-01 was a Thursday.
_FIRST_MONDAY = _EPOCH + 4

# From the year 100 to the end of the year 9999: what dates can represent, with days to spare at
# the ends for the offset of a zone.
_FIRST_DAY, _LAST_DAY = date(100, 1, 1).toordinal(), date.max.toordinal()
_BEGINNING, _END = (_FIRST_DAY - _EPOCH) * DAY_S, (_LAST_DAY + 1 - _EPOCH) * DAY_S
_EARLIEST, _LATEST = _BEGINNING + 400 * DAY_S, _END - 2 * DAY_S

# The most that clocks have been turned back at once, since 1995: a day of a zone may be so much
# longer. Docs and clients have the same figure.
LONGEST_TURN_S = 3 * 3_600

# The most days that so many months in a row have, for those numbers of months that divide a year.
MONTHS = {1: 31, 2: 62, 3: 92, 4: 123, 6: 184, 12: 366}
MONTHS_OF_A_YEAR = 12


@dataclass(frozen=True, slots=True)
class Calendar:
    """Candles of `count` days (d), weeks (w) or months (M) by the dates of a time zone.

    Days are counted from 1970-01-01, weeks from the first Monday after it, months from January.

    A date begins when the zone's clocks first show it: at midnight, or where they skip midnight, at
    the end of the hour that is skipped. Where they are turned back from one date to the one before,
    it has begun all the same.
    """

    unit: str
    count: int
    zone: Zone

    @property
    def is_possible(self) -> bool:
        """Whether months divide a year, and days and weeks are not longer than one."""
        return self.count in MONTHS if self.unit == "M" else 0 < self._days <= MONTHS[12]

    @property
    def longest_s(self) -> int:
        """The most seconds that a candle can have; less than two of the shortest candles."""
        days = MONTHS[self.count] if self.unit == "M" else self._days
        return days * DAY_S + (0 if self.zone == UTC_ZONE else LONGEST_TURN_S)

    def open_of(self, time: float) -> int:
        """The open time of the candle that covers `time`."""
        return self._begin(self.number_of(time))

    def close_of(self, open_time: int) -> int:
        """The time at which the candle that covers `open_time` closes."""
        return self._begin(self.number_of(open_time) + 1)

    def moved(self, open_time: int, by: int) -> int:
        """The open time `by` candles after the candle that covers `open_time`."""
        number = self.number_of(open_time) + by
        moved = self._begin(number)
        step = (by > 0) - (by < 0)
        while step and _BEGINNING < moved < _END and moved == self._begin(number - step):
            # A date that was left out has no candle: it begins with the next one.
            number += step
            moved = self._begin(number)
        return moved

    def steps(self, start: int, end: int) -> int:
        """How many candles after the one that covers `start` the one that covers `end` is."""
        first, last = self.number_of(start), self.number_of(end)
        if self.unit == "M" or self._days > 1:
            return last - first
        # A date that was left out has a number, and no candle.
        low, high = min(first, last), max(first, last)
        empty = sum(low < day < high for day in dates_left_out(self.zone))
        return last - first - (empty if first < last else -empty)

    def number_of(self, time: float) -> int:
        """The number of the candle that covers `time`; the next one has the next number."""
        within = min(max(time, _EARLIEST), _LATEST)
        number = self._number(datetime.fromtimestamp(within, self.zone.rules).date())
        while (after := self._begin(number + 1)) <= time and after < _END:
            # Its date begins twice, and this is before the second time; or dates are skipped.
            number += 1
        return number

    @property
    def _days(self) -> int:
        return self.count * (7 if self.unit == "w" else 1)

    def _number(self, day: date) -> int:
        if self.unit == "M":
            return (day.year * MONTHS_OF_A_YEAR + day.month - 1) // self.count
        return (day.toordinal() - (_FIRST_MONDAY if self.unit == "w" else _EPOCH)) // self._days

    def _begin(self, number: int) -> int:
        if self.unit == "M":
            year, month = divmod(number * self.count, MONTHS_OF_A_YEAR)
            within = min(max(year, 1), date.max.year)
            day = date(within, month + 1, 1).toordinal() + (year - within) * 366
        else:
            day = number * self._days + (_FIRST_MONDAY if self.unit == "w" else _EPOCH)
        if not _FIRST_DAY <= day <= _LAST_DAY:
            return _BEGINNING if day < _FIRST_DAY else _END
        return self._start(date.fromordinal(day))

    def _start(self, day: date) -> int:
        """When a date begins in the zone."""
        midnight = datetime(day.year, day.month, day.day, tzinfo=self.zone.rules)
        # Of a midnight that is skipped this is the offset before: that gives the moment at which
        # clocks are turned on, if they are turned on at midnight.
        offset = midnight.utcoffset()
        assert offset is not None
        begin = (day.toordinal() - _EPOCH) * DAY_S - int(offset.total_seconds())
        before = begin - DAY_S
        if self._date(begin - 1) < day:
            return begin
        # They are turned on shortly before midnight, to a time after it.
        while begin - before > 1:
            middle = (before + begin) // 2
            if self._date(middle) < day:
                before = middle
            else:
                begin = middle
        return begin

    def _date(self, time: int) -> date:
        return datetime.fromtimestamp(time, self.zone.rules).date()
