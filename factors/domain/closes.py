"""Closes of the newest candles, and when they next went beyond a price.

Blocks of closes keep their maximum, blocks of blocks likewise, so that a search skips what can't
hold the answer: its cost grows with the logarithm of the distance, not with the distance.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence

from factors.domain.facts import Past, StateError
from market.domain.candle import Candle

FAN = 8
DEPTH = 4
CHUNK = FAN**DEPTH
"""Closes are let go by whole blocks of the highest kind."""

Rows = list["array[float]"]
"""A row of values, and above it a row of maxima for each further kind of block."""


class CloseWindow:
    """Closes and open times of consecutive candles by their ordinal in the series.

    `base` is the first ordinal held. After a restore the closes are
    read again when something first asks for them.
    """

    def __init__(self) -> None:
        self.base = 0
        self.times = array("q")
        # Negated closes beside the closes: one search then serves both directions.
        self._rising: Rows = [array("d") for _ in range(DEPTH + 1)]
        self._falling: Rows = [array("d") for _ in range(DEPTH + 1)]
        self._absent: tuple[int, int, Past] | None = None

    @staticmethod
    def absent(base: int, start_time: int, count: int, *, past: Past) -> CloseWindow:
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
        self._falling[0].append(-close)

    def oldest(self, index: int) -> tuple[int, int]:
        """Ordinal and open time of `index`; of the first candle held when that is not known."""
        if self._absent is not None:
            return self.base, self._absent[0]
        return index, self.times[index - self.base]

    def time_at(self, index: int) -> int:
        """The open time of the candle with this ordinal."""
        return self.times[index - self.base]

    def refresh(self) -> None:
        """Read what is absent and bring the blocks up to date; to be called before a search."""
        if self._absent is not None:
            self._read(*self._absent)
        for rows in (self._rising, self._falling):
            for below, row in zip(rows, rows[1:], strict=False):
                for block in range(len(row), len(below) // FAN):
                    row.append(max(below[block * FAN : (block + 1) * FAN]))

    def release(self, needed: int) -> None:
        """Let closes before the ordinal `needed` go; some more than asked may stay."""
        chunks = (needed - self.base) // CHUNK
        if chunks < 1 or self._absent is not None:
            return
        self.base += chunks * CHUNK
        del self.times[: chunks * CHUNK]
        for rows in (self._rising, self._falling):
            for level, row in enumerate(rows):
                del row[: chunks * CHUNK // FAN**level]

    def turns(self, start: int, end: int, *, low: float, high: float, limit: int) -> list[int]:
        """Where closes changed from above `high` to below `low` or back, within [start, end).

        Answers at most the first `limit` ordinals.
        """
        above = self._first_above(start, end, high)
        below = self._first_below(start, end, low)
        found: list[int] = []
        while len(found) < limit:
            turn = max(above, below)
            if turn >= end:
                break
            found.append(turn)
            if above < below:
                above = self._first_above(turn + 1, end, high)
            else:
                below = self._first_below(turn + 1, end, low)
        return found

    def _first_above(self, start: int, end: int, price: float) -> int:
        base = self.base
        return _first(self._rising, start - base, end - base, price) + base

    def _first_below(self, start: int, end: int, price: float) -> int:
        base = self.base
        return _first(self._falling, start - base, end - base, -price) + base

    def _read(self, start_time: int, count: int, past: Past) -> None:
        candles = past.read(start_time, past.until)
        _check(candles, start_time, count)
        self._absent = None
        self.times = array("q", [candle.candle_time for candle in candles]) + self.times
        closes = array("d", [candle.close for candle in candles]) + self._rising[0]
        self._rising[0] = closes
        self._falling[0] = array("d", [-close for close in closes])


def _check(candles: Sequence[Candle], start_time: int, count: int) -> None:
    if len(candles) != count or candles[0].candle_time != start_time:
        raise StateError(f"expected {count} candles from {start_time} on, found {len(candles)}")


def _first(rows: Rows, start: int, end: int, value: float) -> int:
    """The first position from `start` on whose value is greater; `end` when there is none."""
    level, at, row = 0, start, rows[0]
    while True:
        # Along the row to the end of its block, then one level up.
        stop = len(row)
        while at < stop and row[at] <= value:
            at += 1
            if level < DEPTH and at % FAN == 0:
                at //= FAN
                level += 1
                row = rows[level]
                stop = len(row)
        if level == 0:
            return min(at, end)
        # In this block, or behind the last whole block: one level down.
        level -= 1
        at *= FAN
        row = rows[level]
