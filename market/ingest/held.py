"""Closed candles of one series that wait until they join the stored head. Pure: no clock, no I/O.

The stream may be ahead of the store (history is still being read, a candle was lost on the way).
What it sends is held until the hole before it is filled.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from market.domain.candle import Candle
from market.domain.timeframe import Timeframe


class Held:
    """The stored head of a series (None while it is empty), and at most `most` waiting candles.

    With `first` only candles from that time on are stored.
    """

    def __init__(self, timeframe: Timeframe, *, most: int) -> None:
        self.head: int | None = None
        # Older candles wait: those between them and the stored ones are still being read.
        self.first: int | None = None
        self._timeframe = timeframe
        self._most = most
        self._candles: dict[int, Candle] = {}

    def __contains__(self, candle_time: int | None) -> bool:
        return candle_time in self._candles

    @property
    def expected(self) -> int | None:
        """The open time that joins the head; None while the series is empty."""
        if self.head is None:
            return None
        return self._timeframe.open_of(self.head) + self._timeframe.seconds

    @property
    def newest(self) -> int:
        """The newest open time that waits; -1 when none does."""
        return max(self._candles, default=-1)

    def add(self, candle: Candle) -> bool:
        """Hold a candle, the newest state of each open time.

        When there are too many, all others are dropped and the result is False: REST has them.
        """
        has_room = len(self._candles) < self._most
        if not has_room:
            self._candles.clear()
        self._candles[candle.candle_time] = candle
        return has_room

    def joining(self) -> list[Candle]:
        """The candles to store now, ascending: up to the head, and those that follow on it."""
        expected = self.expected
        batch = []
        for candle_time in self._waiting():
            if expected is not None and candle_time > expected:
                break
            batch.append(self._candles[candle_time])
            if expected is None or candle_time == expected:
                expected = candle_time + self._timeframe.seconds
        return batch

    def behind_hole(self) -> Candle | None:
        """The first candle behind a hole; None when nothing waits or something can be stored."""
        expected, waiting = self.expected, self._waiting()
        if expected is None or not waiting or waiting[0] <= expected:
            return None
        return self._candles[waiting[0]]

    def by_time(self) -> Mapping[int, Candle]:
        """The candles as they are now, by open time."""
        return dict(self._candles)

    def stored(self, batch: Sequence[Candle]) -> None:
        """Drop what was stored, except where a newer state came while it was written."""
        for candle in batch:
            if self._candles.get(candle.candle_time) == candle:
                del self._candles[candle.candle_time]

    def superseded(self, page: Sequence[Candle], *, held_before: Mapping[int, Candle]) -> None:
        """Drop what a page of REST answers that was asked for after it came (`held_before`)."""
        for candle in page:
            before = held_before.get(candle.candle_time)
            if before is not None and self._candles.get(candle.candle_time) is before:
                del self._candles[candle.candle_time]

    def _waiting(self) -> list[int]:
        first = -1 if self.first is None else self.first
        return sorted(time for time in self._candles if time >= first)
