"""The candle store in this process's memory: one process, nothing survives it."""

from __future__ import annotations

import threading
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from market.domain.candle import Candle
from market.domain.gaps import Gap, find_gaps
from market.domain.series import SeriesId
from market.domain.store import (
    EMPTY,
    SeriesState,
    SeriesStats,
    StaleFence,
    Upserted,
)


@dataclass(slots=True)
class _Shelf:
    """What is held of one series: open times and candles side by side, ascending."""

    times: list[int] = field(default_factory=list)
    candles: list[Candle] = field(default_factory=list)
    state: SeriesState = EMPTY
    revisions: list[tuple[int, int]] = field(default_factory=list)
    fence: int = 0

    def get(self, time: int) -> Candle | None:
        at = bisect_left(self.times, time)
        return self.candles[at] if at < len(self.times) and self.times[at] == time else None

    def merge(self, pending: dict[int, Candle]) -> None:
        if not pending:
            return
        times = sorted(pending)
        if not self.times or times[0] > self.times[-1]:
            self.times += times
            self.candles += [pending[time] for time in times]
            return
        merged = dict(zip(self.times, self.candles, strict=True)) | pending
        # New lists, so that a reader that holds the old ones keeps a consistent view.
        self.times = sorted(merged)
        self.candles = [merged[time] for time in self.times]


class MemoryWriter:
    """A transaction of the memory store: changes wait here until the block ends well."""

    def __init__(self, series: SeriesId, shelf: _Shelf) -> None:
        self.series = series
        self.state = shelf.state
        self._shelf = shelf
        self._pending: dict[int, Candle] = {}
        self._next: SeriesState = shelf.state
        self._revisions: list[tuple[int, int]] = []
        self._undo: list[Callable[[], None]] = []
        self._landing: list[Callable[[], None]] = []

    def upsert(self, candles: list[Candle]) -> Upserted:
        """See SeriesWriter.upsert."""
        inserted: list[int] = []
        revised: list[int] = []
        for candle in candles:
            stored = self._pending.get(candle.candle_time) or self._shelf.get(candle.candle_time)
            if stored == candle:
                continue
            (inserted if stored is None else revised).append(candle.candle_time)
            self._pending[candle.candle_time] = candle
        return Upserted(inserted, revised, len(candles) - len(inserted) - len(revised))

    def advance(self, head: int | None, *, revised_from: int | None) -> SeriesState:
        """See SeriesWriter.advance."""
        epoch = self._next.epoch
        if revised_from is not None:
            epoch += 1
            self._revisions.append((epoch, revised_from))
        self._next = SeriesState(head, epoch)
        return self._next

    def on_rollback(self, undo: Callable[[], None]) -> None:
        """See SeriesWriter.on_rollback."""
        self._undo.append(undo)

    def on_commit(self, land: Callable[[], None]) -> None:
        """See SeriesWriter.on_commit; here it happens together with the commit."""
        self._landing.append(land)

    def commit(self) -> None:
        """Make the changes visible."""
        for land in self._landing:
            land()
        self._shelf.merge(self._pending)
        self._shelf.revisions += self._revisions
        self._shelf.state = self._next

    def roll_back(self) -> None:
        """Let the stages take back what they keep in memory, newest first."""
        for undo in reversed(self._undo):
            undo()


class MemoryCandleStore:
    """Implements market.domain.store.CandleStore with one lock a series for its writers."""

    def __init__(self) -> None:
        self._shelves: dict[SeriesId, _Shelf] = {}
        self._writers: defaultdict[SeriesId, threading.Lock] = defaultdict(threading.Lock)
        # Held for moments only: it makes a commit one step for every reader.
        self._mutex = threading.Lock()

    @contextmanager
    def writing(self, series: SeriesId, *, fence: int | None = None) -> Iterator[MemoryWriter]:
        """See CandleStore.writing."""
        with self._lock_of(series):
            with self._mutex:
                shelf = self._shelves.setdefault(series, _Shelf())
            if fence is not None and fence != shelf.fence:
                raise StaleFence(str(series))
            writer = MemoryWriter(series, shelf)
            try:
                yield writer
            except BaseException:
                writer.roll_back()
                raise
            with self._mutex:
                writer.commit()

    def next_fence(self, series: SeriesId) -> int:
        """See CandleStore.next_fence."""
        with self._lock_of(series), self._mutex:
            shelf = self._shelves.setdefault(series, _Shelf())
            shelf.fence += 1
            return shelf.fence

    def read_after(self, series: SeriesId, after: int, limit: int) -> list[Candle]:
        """See CandleStore.read_after."""
        times, candles = self._view(series)
        start = bisect_right(times, after)
        return candles[start : start + limit]

    def newest(self, series: SeriesId, limit: int, *, up_to: int | None = None) -> list[Candle]:
        """See CandleStore.newest."""
        times, candles = self._view(series)
        end = len(times) if up_to is None else bisect_right(times, up_to)
        return candles[max(0, end - limit) : end]

    def read_range(self, series: SeriesId, start: int, end: int, *, limit: int) -> list[Candle]:
        """See CandleStore.read_range."""
        times, candles = self._view(series)
        first, stop = bisect_left(times, start), bisect_right(times, end)
        return candles[first : min(stop, first + limit)]

    def state(self, series: SeriesId) -> SeriesState:
        """See CandleStore.state."""
        shelf = self._shelves.get(series)
        return shelf.state if shelf else EMPTY

    def states(self, series: Iterable[SeriesId]) -> dict[SeriesId, SeriesState]:
        """See CandleStore.states."""
        return {each: shelf.state for each in series if (shelf := self._shelves.get(each))}

    def revised_since(self, series: SeriesId, epoch: int) -> int | None:
        """See CandleStore.revised_since."""
        shelf = self._shelves.get(series)
        revisions = shelf.revisions if shelf else []
        return min((time for made, time in revisions if made > epoch), default=None)

    def first(self, series: SeriesId) -> int | None:
        """See CandleStore.first."""
        times, _ = self._view(series)
        return times[0] if times else None

    def floor(self, series: SeriesId, time: int) -> int | None:
        """See CandleStore.floor."""
        times, _ = self._view(series)
        at = bisect_right(times, time)
        return times[at - 1] if at else None

    def count(self, series: SeriesId, start: int | None = None, end: int | None = None) -> int:
        """See CandleStore.count."""
        return len(self._times_between(series, start, end))

    def gaps(self, series: SeriesId, start: int | None = None, end: int | None = None) -> list[Gap]:
        """See CandleStore.gaps."""
        return list(find_gaps(self._times_between(series, start, end), series.timeframe))

    def series(self) -> list[SeriesStats]:
        """See CandleStore.series."""
        with self._mutex:
            held = [(each, shelf.times) for each, shelf in self._shelves.items() if shelf.times]
        return sorted(SeriesStats(each, times[0], times[-1], len(times)) for each, times in held)

    def _lock_of(self, series: SeriesId) -> threading.Lock:
        with self._mutex:
            return self._writers[series]

    def _view(self, series: SeriesId) -> tuple[list[int], list[Candle]]:
        with self._mutex:
            shelf = self._shelves.get(series)
            return (shelf.times, shelf.candles) if shelf else ([], [])

    def _times_between(self, series: SeriesId, start: int | None, end: int | None) -> list[int]:
        times, _ = self._view(series)
        first = 0 if start is None else bisect_left(times, start)
        stop = len(times) if end is None else bisect_right(times, end)
        return times[first:stop]
