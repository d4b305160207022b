"""The closes of the newest candles, and where they crossed a zone of prices.

Blocks of closes keep their maximum, blocks of blocks likewise, so that a search skips blocks that
can't hold the answer: its cost grows with the logarithm of the distance, not with the distance.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field
from math import inf

from factors.domain.values import PastCandles, StateError

FAN = 8
DEPTH = 4
CHUNK = FAN**DEPTH
"""Closes are dropped by whole blocks of the highest kind."""

Rows = list["array[float]"]
"""A row of values, and above it a row of maxima for each further kind of block."""


@dataclass(slots=True)
class Crossings:
    """Where closes changed from above a zone of prices to below it, or back: `found`, by ordinal.

    `above` and `below` are the next closes on either side, or where their search stopped. The
    crossings are the same for all zones whose edges no close seen so far lies between: then the
    zone `holds`.
    """

    above: int
    below: int
    found: list[int] = field(default_factory=list)
    seeks_above: bool = True
    seeks_below: bool = True
    high_from: float = -inf
    high_to: float = inf
    low_from: float = inf
    low_to: float = -inf

    def holds(self, low: float, high: float) -> bool:
        """Whether the crossings of the zone between these prices begin just like these."""
        return self.high_from <= high < self.high_to and self.low_to < low <= self.low_from

    def cross(self) -> None:
        """Add the crossing where the later of the two sides was reached; look on for the other."""
        if self.above < self.below:
            self.found.append(self.below)
            self.above = self.below + 1
            self.seeks_above = True
        else:
            self.found.append(self.above)
            self.below = self.above + 1
            self.seeks_below = True


class CloseWindow:
    """Closes and open times of consecutive candles by their ordinal in the series.

    `base` is the first ordinal held. After a restore the closes are read again at the first search.
    """

    def __init__(self) -> None:
        self.base = 0
        self.times = array("q")
        # Negated closes beside the closes: one search then serves both directions.
        self._rising: Rows = [array("d") for _ in range(DEPTH + 1)]
        self._falling: Rows = [array("d") for _ in range(DEPTH + 1)]
        self._absent: tuple[int, int, PastCandles] | None = None

    @staticmethod
    def absent(base: int, start_time: int, count: int, *, past: PastCandles) -> CloseWindow:
        """A window of `count` closes from ordinal `base` on, to be read from `past` when needed."""
        window = CloseWindow()
        window.base = base
        if count:
            window._absent = (start_time, count, past)
        return window

    def append(self, time: int, close: float) -> None:
        """Add the newest candle's close."""
        self.times.append(time)
        self._rising[0].append(close)

    def oldest(self, index: int) -> tuple[int, int]:
        """Ordinal and open time of `index`; of the first candle held when that is not known."""
        if self._absent is not None:
            return self.base, self._absent[0]
        return index, self.times[index - self.base]

    def time_at(self, index: int) -> int:
        """The open time of the candle with this ordinal."""
        return self.times[index - self.base]

    def refresh(self) -> tuple[float, float]:
        """Read what is absent and bring the blocks up to date; to be called before a search.

        Returns the lowest and the highest close since the last call, infinite without any.
        """
        if self._absent is not None:
            self._read(*self._absent)
        rising, falling = self._rising[0], self._falling[0]
        fresh = rising[len(falling) :]
        falling.extend([-close for close in fresh])
        for rows in (self._rising, self._falling):
            for below, row in zip(rows, rows[1:], strict=False):
                for block in range(len(row), len(below) // FAN):
                    row.append(max(below[block * FAN : (block + 1) * FAN]))
        return min(fresh, default=inf), max(fresh, default=-inf)

    def release(self, needed: int) -> None:
        """Drop closes before the ordinal `needed`; some of them may stay."""
        chunks = (needed - self.base) // CHUNK
        if chunks < 1 or self._absent is not None:
            return
        self.base += chunks * CHUNK
        del self.times[: chunks * CHUNK]
        for rows in (self._rising, self._falling):
            for level, row in enumerate(rows):
                del row[: chunks * CHUNK // FAN**level]

    def search(
        self, crossings: Crossings, end: int, *, low: float, high: float, limit: int
    ) -> None:
        """Find more crossings, up to the ordinal `end` or until there are `limit`.

        `low` and `high` must be those of the first search, or others that the crossings `hold` for.
        """
        while len(crossings.found) < limit:
            if crossings.seeks_above:
                self._seek_above(crossings, end, high)
            if crossings.seeks_below:
                self._seek_below(crossings, end, low)
            if crossings.seeks_above or crossings.seeks_below:
                return
            crossings.cross()

    def _seek_above(self, crossings: Crossings, end: int, high: float) -> None:
        row, base = self._rising[0], self.base
        at, passed = _first(self._rising, crossings.above - base, high)
        crossings.seeks_above = at >= end - base
        crossings.above = at + base
        if passed > crossings.high_from:
            crossings.high_from = passed
        if not crossings.seeks_above and row[at] < crossings.high_to:
            crossings.high_to = row[at]

    def _seek_below(self, crossings: Crossings, end: int, low: float) -> None:
        row, base = self._falling[0], self.base
        at, passed = _first(self._falling, crossings.below - base, -low)
        crossings.seeks_below = at >= end - base
        crossings.below = at + base
        if -passed < crossings.low_from:
            crossings.low_from = -passed
        if not crossings.seeks_below and -row[at] > crossings.low_to:
            crossings.low_to = -row[at]

    def _read(self, start_time: int, count: int, past: PastCandles) -> None:
        candles = past.read(start_time, past.until)
        if len(candles) != count or candles[0].candle_time != start_time:
            raise StateError(f"expected {count} candles from {start_time} on, found {len(candles)}")
        self._absent = None
        self.times = array("q", [candle.candle_time for candle in candles]) + self.times
        self._rising[0] = array("d", [candle.close for candle in candles]) + self._rising[0]


def _first(rows: Rows, start: int, value: float) -> tuple[int, float]:
    """The first position from `start` on whose value is greater, and the greatest one before it.

    When there is none, the position after the last.
    """
    level, at, passed = 0, start, -inf
    while True:
        # Along the row, at most to the end of the block.
        row = rows[level]
        rest = row[at : (at // FAN + 1) * FAN]
        for seen in rest:
            if seen > value:
                break
            if seen > passed:
                passed = seen
            at += 1
        else:
            if rest and level < DEPTH and at % FAN == 0:
                level += 1
                at //= FAN
                continue
        if level == 0:
            return at, passed
        # In this block, or behind the last whole block: one level down.
        level -= 1
        at *= FAN
