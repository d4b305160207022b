"""Rolling up: the candles of a longer timeframe, made of those of a shorter one.

A bucket is the time that one candle of the longer timeframe covers. Its candle depends on the base
candles inside it and on nothing else: not on their order of arrival, and not on a state kept
between two of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from market.domain.candle import Candle
from market.domain.series import SeriesId
from market.domain.timeframe import Timeframe, TimeframeError
from market.domain.zones import DAY_S, offsets_of


class Bucket(NamedTuple):
    """The candle of one bucket, and how many of its base candles there are."""

    candle: Candle
    found: int
    expected: int

    @property
    def is_whole(self) -> bool:
        """Whether no base candle is missing."""
        return self.found == self.expected


def roll_up(rows: Iterable[Candle], base: Timeframe, to: Timeframe) -> Iterator[Bucket]:
    """The buckets of ascending base candles, ascending; those without a candle are left out.

    Volumes are added in the order of time. A candle off the grid of `base` is ignored: it covers
    time that two others cover already.
    """
    close_time, found = -1, 0
    open_time, opened, high, low, close, volume = 0, 0.0, 0.0, 0.0, 0.0, 0.0
    for row in rows:
        if not base.is_aligned(row.candle_time):
            continue
        if row.candle_time >= close_time:
            if found:
                candle = Candle(open_time, opened, high, low, close, volume)
                yield Bucket(candle, found, expected_in(open_time, base, to))
            open_time = to.open_of(row.candle_time)
            close_time = to.close_of(open_time)
            _, opened, high, low, close, volume = row
            found = 1
            continue
        high = row.high if row.high > high else high
        low = row.low if row.low < low else low
        close, volume, found = row.close, volume + row.volume, found + 1
    if found:
        candle = Candle(open_time, opened, high, low, close, volume)
        yield Bucket(candle, found, expected_in(open_time, base, to))


def merged(so_far: Candle, later: Candle) -> Candle:
    """The candle of a bucket after one more base candle, which opens last."""
    return Candle(
        so_far.candle_time,
        so_far.open,
        max(so_far.high, later.high),
        min(so_far.low, later.low),
        later.close,
        so_far.volume + later.volume,
    )


def expected_in(open_time: int, base: Timeframe, to: Timeframe) -> int:
    """How many base candles open in the bucket that opens at `open_time`."""
    return (to.close_of(open_time) - open_time) // base.seconds


@dataclass(frozen=True, slots=True)
class DerivedTimeframes:
    """Which timeframes are made of which: the base timeframe, and those that are derived."""

    base: Timeframe
    derived: tuple[Timeframe, ...]

    @staticmethod
    def parse(base: str, derived: str) -> DerivedTimeframes:
        """Read the settings; raise TimeframeError for an invalid base.

        In the comma-separated list, what is no timeframe, or can't be made of the base, is ignored.
        """
        base_timeframe = Timeframe.parse(base).canonical()
        if base_timeframe.calendar is not None:
            raise TimeframeError("candles of changing length are no base: %(base)r", base=base)
        found: dict[Timeframe, None] = {}
        for text in derived.split(","):
            try:
                timeframe = Timeframe.parse(text).canonical()
            except TimeframeError:
                continue
            if is_derivable(base_timeframe, timeframe):
                found[timeframe] = None
        return DerivedTimeframes(base_timeframe, tuple(found))

    def base_of(self, series: SeriesId) -> SeriesId | None:
        """The series that a derived one is made of; None for any other."""
        return series.with_timeframe(self.base) if series.timeframe in self.derived else None

    def source_of(self, series: SeriesId) -> SeriesId:
        """The series to follow for the candles of this one: its base, or itself."""
        return self.base_of(series) or series

    def derived_of(self, series: SeriesId) -> list[SeriesId]:
        """The series that are made of this one."""
        if series.timeframe != self.base:
            return []
        return [series.with_timeframe(each) for each in self.derived]


NONE_DERIVED = DerivedTimeframes(Timeframe.parse("1m"), ())


def is_derivable(base: Timeframe, to: Timeframe) -> bool:
    """Whether every candle of one timeframe covers a whole number, at least two, of the other."""
    if base.calendar is not None:
        return False
    if to.calendar is not None:
        # Days begin at midnight of the zone: at a time on the base's grid, whatever the offset.
        shifts = (base.offset, DAY_S, *offsets_of(to.calendar.zone))
        return base.seconds < DAY_S and not any(each % base.seconds for each in shifts)
    is_multiple = to.seconds > base.seconds and to.seconds % base.seconds == 0
    return is_multiple and (to.offset - base.offset) % base.seconds == 0
