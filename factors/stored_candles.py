"""The candles of a series as the open transaction will leave them.

Inside a transaction PostgreSQL already shows the batch, the memory store does not; the batch is
merged into what the store returns, so that a stage sees the same with both.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import inf

from market.domain.candle import Candle
from market.domain.change import Change
from market.domain.series import SeriesId
from market.domain.store import CandleStore

PAGE = 5000
NO_LIMIT = 1 << 31


class CandlesAhead:
    """Reads the store; what was read ahead of a series is taken from memory until it is dropped."""

    def __init__(self, store: CandleStore, series: SeriesId) -> None:
        self._store = store
        self._series = series
        self._start = inf
        self._rows: list[Candle] = []

    def take(self, start: float, rows: list[Candle]) -> None:
        """Use these candles, all there are from `start` on, up to the newest."""
        self._start, self._rows = start, rows

    def drop(self) -> None:
        """Read the store from now on."""
        self.take(inf, [])

    def between(self, start: int, end: int) -> list[Candle]:
        """All candles between two open times, both inclusive."""
        if start < self._start:
            return self._store.read_range(self._series, start, end, limit=NO_LIMIT)
        return [each for each in self._rows if start <= each.candle_time <= end]


class StoredCandles:
    """Reads the store with the batch of one change merged in."""

    def __init__(self, store: CandleStore, change: Change) -> None:
        self._store = store
        self.series = change.series
        self._own = (*change.past, *change.fresh)

    def after(self, time: int, limit: int) -> list[Candle]:
        """The oldest `limit` candles later than `time` (an open time)."""
        stored = self._store.read_after(self.series, time, limit)
        return self._merged(stored, time + 1, None)[:limit]

    def between(self, start: int, end: int) -> list[Candle]:
        """All candles between two open times, both inclusive."""
        stored = self._store.read_range(self.series, start, end, limit=NO_LIMIT)
        return self._merged(stored, start, end)

    def pages(self, after: int, end: int) -> Iterator[Candle]:
        """The candles later than `after` up to `end`, read page by page."""
        while page := [each for each in self.after(after, PAGE) if each.candle_time <= end]:
            yield from page
            after = page[-1].candle_time

    def _merged(self, stored: list[Candle], start: int, end: int | None) -> list[Candle]:
        own = {
            each.candle_time: each
            for each in self._own
            if start <= each.candle_time and (end is None or each.candle_time <= end)
        }
        if not own:
            return stored
        merged = {each.candle_time: each for each in stored} | own
        return [merged[time] for time in sorted(merged)]
