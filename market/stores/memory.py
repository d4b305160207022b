"""The candle store in memory, for one process; nothing is kept when it ends."""

from __future__ import annotations

import threading
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

from typing_extensions import override

from market.domain.candle import Candle
from market.domain.gaps import Gap, find_gaps
from market.domain.identity import random_id
from market.domain.series import SeriesId
from market.domain.store import (
    EMPTY,
    CandleStore,
    Fence,
    GroupWriter,
    SeriesState,
    SeriesStats,
    SeriesWriter,
    StaleFence,
    Upserted,
)
from market.stores.callbacks import Callbacks


@dataclass(slots=True)
class _Rows:
    """One series: open times and candles in two parallel lists, ascending."""

    state: SeriesState
    times: list[int] = field(default_factory=list)
    candles: list[Candle] = field(default_factory=list)
    revisions: list[tuple[int, int]] = field(default_factory=list)
    fence: int = 0
    is_derived: bool = False

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
        # New lists: a reader with the old ones keeps a consistent view.
        self.times = sorted(merged)
        self.candles = [merged[time] for time in self.times]


class MemoryWriter(Callbacks, SeriesWriter):
    """A transaction of the memory store: changes are kept here until the commit."""

    def __init__(self, series: SeriesId, rows: _Rows) -> None:
        super().__init__()
        self.series = series
        self.state = rows.state
        self.is_derived = rows.is_derived
        self._will_be_derived = rows.is_derived
        self._rows = rows
        self._pending: dict[int, Candle] = {}
        self._next: SeriesState = rows.state
        self._revisions: list[tuple[int, int]] = []

    @override
    def upsert(self, candles: list[Candle]) -> Upserted:
        inserted: list[int] = []
        revised: list[int] = []
        for candle in candles:
            stored = self._pending.get(candle.candle_time) or self._rows.get(candle.candle_time)
            if stored == candle:
                continue
            (inserted if stored is None else revised).append(candle.candle_time)
            self._pending[candle.candle_time] = candle
        return Upserted(inserted, revised, len(candles) - len(inserted) - len(revised))

    @override
    def advance(self, head: int | None, *, revised_from: int | None) -> SeriesState:
        epoch = self._next.epoch
        if revised_from is not None:
            epoch += 1
            self._revisions.append((epoch, revised_from))
        self._next = self._next._replace(head=head, epoch=epoch)
        return self._next

    @override
    def mark_derived(self) -> None:
        self._will_be_derived = True

    def commit(self) -> None:
        """Make the changes visible."""
        self._rows.is_derived = self._will_be_derived
        self.committed()
        self._rows.merge(self._pending)
        self._rows.revisions += self._revisions
        self._rows.state = self._next


class MemoryGroup(GroupWriter):
    """Several locked series, whose changes become visible together."""

    def __init__(self) -> None:
        self.stale: set[SeriesId] = set()
        self.busy: set[SeriesId] = set()
        self.members: dict[SeriesId, MemoryWriter] = {}

    @property
    @override
    def writers(self) -> list[MemoryWriter]:
        return list(self.members.values())

    @override
    @contextmanager
    def alone(self, series: SeriesId) -> Iterator[None]:
        try:
            yield
        except BaseException:
            self.members.pop(series).rolled_back()
            raise


class MemoryCandleStore(CandleStore):
    """The memory store; the writers of each series share a lock.

    Its generation is random unless it is given: what another process held is lost.
    """

    def __init__(self, generation: str = "") -> None:
        self._empty = EMPTY._replace(generation=generation or random_id())
        self._series: dict[SeriesId, _Rows] = {}
        self._writers: defaultdict[SeriesId, threading.Lock] = defaultdict(threading.Lock)
        # Held briefly: it makes a commit atomic for readers.
        self._mutex = threading.Lock()

    @override
    @contextmanager
    def writing(
        self, series: SeriesId, *, fence: Fence | None = None, may_lock_late: bool = False
    ) -> Iterator[MemoryWriter]:
        with self._lock_of(series):
            with self._mutex:
                rows = self._series.setdefault(series, _Rows(self._empty))
            if fence is not None and fence != Fence(rows.fence, self.generation()):
                raise StaleFence(str(series))
            writer = MemoryWriter(series, rows)
            try:
                yield writer
            except BaseException:
                writer.rolled_back()
                raise
            with self._mutex:
                writer.commit()

    @override
    @contextmanager
    def writing_group(self, fences: Mapping[SeriesId, Fence | None]) -> Iterator[MemoryGroup]:
        group, generation = MemoryGroup(), self.generation()
        with ExitStack() as locks:
            for series, fence in fences.items():
                lock = self._lock_of(series)
                if not lock.acquire(blocking=False):
                    group.busy.add(series)
                    continue
                locks.callback(lock.release)
                with self._mutex:
                    rows = self._series.setdefault(series, _Rows(self._empty))
                if fence is not None and fence != Fence(rows.fence, generation):
                    group.stale.add(series)
                else:
                    group.members[series] = MemoryWriter(series, rows)
            try:
                yield group
            except BaseException:
                for writer in group.writers:
                    writer.rolled_back()
                raise
            with self._mutex:
                for writer in group.writers:
                    writer.commit()

    @override
    def release_derived(self, series: SeriesId) -> None:
        with self._lock_of(series), self._mutex:
            if series in self._series:
                self._series[series].is_derived = False

    @override
    def next_fence(self, series: SeriesId) -> Fence:
        with self._lock_of(series), self._mutex:
            rows = self._series.setdefault(series, _Rows(self._empty))
            rows.fence += 1
            return Fence(rows.fence, self.generation())

    @override
    def generation(self) -> str:
        return self._empty.generation

    @override
    def read_after(self, series: SeriesId, after: int, limit: int) -> list[Candle]:
        times, candles = self._view(series)
        start = bisect_right(times, after)
        return candles[start : start + limit]

    @override
    def newest(self, series: SeriesId, limit: int, *, up_to: int | None = None) -> list[Candle]:
        times, candles = self._view(series)
        end = len(times) if up_to is None else bisect_right(times, up_to)
        return candles[max(0, end - limit) : end]

    @override
    def read_range(self, series: SeriesId, start: int, end: int, *, limit: int) -> list[Candle]:
        times, candles = self._view(series)
        first, stop = bisect_left(times, start), bisect_right(times, end)
        return candles[first : min(stop, first + limit)]

    @override
    def read_ranges(
        self, spans: Mapping[SeriesId, tuple[int, int]], *, limit: int
    ) -> dict[SeriesId, list[Candle]]:
        found = {
            each: self.read_range(each, *span, limit=limit + 1) for each, span in spans.items()
        }
        return {each: rows for each, rows in found.items() if len(rows) <= limit}

    @override
    def state(self, series: SeriesId) -> SeriesState:
        rows = self._series.get(series)
        return rows.state if rows else self._empty

    @override
    def states(self, series: Iterable[SeriesId]) -> dict[SeriesId, SeriesState]:
        return {each: self.state(each) for each in series}

    @override
    def revised_since(self, series: SeriesId, epoch: int) -> int | None:
        rows = self._series.get(series)
        revisions = rows.revisions if rows else []
        return min((time for made, time in revisions if made > epoch), default=None)

    @override
    def first(self, series: SeriesId) -> int | None:
        times, _ = self._view(series)
        return times[0] if times else None

    @override
    def kept_from(self, series: SeriesId) -> int:
        # Nothing outlives this process, so nothing is removed.
        return 0

    @override
    def floor(self, series: SeriesId, time: int) -> int | None:
        times, _ = self._view(series)
        at = bisect_right(times, time)
        return times[at - 1] if at else None

    @override
    def count(self, series: SeriesId, start: int | None = None, end: int | None = None) -> int:
        return len(self._times_between(series, start, end))

    @override
    def gaps(self, series: SeriesId, start: int | None = None, end: int | None = None) -> list[Gap]:
        return list(find_gaps(self._times_between(series, start, end), series.timeframe))

    @override
    def series(self) -> list[SeriesStats]:
        with self._mutex:
            found = [(each, one.times) for each, one in self._series.items() if one.times]
        return sorted(SeriesStats(each, times[0], times[-1], len(times)) for each, times in found)

    def _lock_of(self, series: SeriesId) -> threading.Lock:
        with self._mutex:
            return self._writers[series]

    def _view(self, series: SeriesId) -> tuple[list[int], list[Candle]]:
        with self._mutex:
            rows = self._series.get(series)
            return (rows.times, rows.candles) if rows else ([], [])

    def _times_between(self, series: SeriesId, start: int | None, end: int | None) -> list[int]:
        times, _ = self._view(series)
        first = 0 if start is None else bisect_left(times, start)
        stop = len(times) if end is None else bisect_right(times, end)
        return times[first:stop]
