"""The chunks of compact history: what the index names, and their bytes, computed when asked for.

Time is cut into cells of CELL_CANDLES candles of the timeframe. A cell is complete when the head
is at or behind its end: then only a revision can change it. Its candles are one chunk, or several
where candles lie off the grid. A chunk is named by its content, so its bytes never change.

Names are kept until a revision at or before their cell, bytes as far as they fit. Both can be
computed again from the store at any time.
"""

from __future__ import annotations

import threading
import time
import zlib
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import NamedTuple

from market.api import metrics
from market.domain.freshness import is_withheld
from market.domain.history_format import encode
from market.domain.series import SeriesId
from market.domain.store import CandleStore, SeriesState
from market.runtime import candle_store
from market.singletons import once

CELL_CANDLES = 2048

# Only candles off the grid make a cell hold more.
CHUNK_CANDLES = 4096

# Names that one request may have to compute; it is answered with fewer than it asked for.
COMPUTED_CELLS = 16

# 100 million candles; a cell that is kept takes a few hundred bytes.
KEPT_CELLS = 50_000

CACHE_BYTES = 32 * 1024 * 1024


class Chunk(NamedTuple):
    """A chunk as the index names it: times of its first and last candle, and their number."""

    name: str
    first: int
    last: int
    candles: int


class Cell(NamedTuple):
    """The chunks of a complete cell, and the start of the next older cell that has candles."""

    chunks: tuple[Chunk, ...]
    older: int | None


class IndexPage(NamedTuple):
    """Chunks in ascending order.

    Candles after `tail_since` are in no chunk; None: no candle is in one. The page after this one
    has the chunks before `next_before`; None: there are none.
    """

    chunks: list[Chunk]
    tail_since: int | None
    next_before: int | None


@dataclass(slots=True)
class KeptCells:
    """The cells of a series that are known, by their start, as of `state`."""

    state: SeriesState
    kept_from: int = 0
    cells: dict[int, Cell] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)


class HistoryChunks:
    """The chunks of a candle store. Every method may be called from any thread and blocks."""

    def __init__(
        self,
        store: CandleStore,
        *,
        clock: Callable[[], float] = time.time,
        max_bytes: int = CACHE_BYTES,
        max_cells: int = KEPT_CELLS,
    ) -> None:
        self._store = store
        self._clock = clock
        self._max_bytes = max_bytes
        self._max_cells = max_cells
        self._kept: OrderedDict[SeriesId, KeptCells] = OrderedDict()
        self._bodies: OrderedDict[tuple[SeriesId, str], bytes] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def tail_start(self, series: SeriesId, state: SeriesState) -> int | None:
        """The start of the first cell that is not complete; None without candles."""
        head, now = state.head, self._clock()
        if head is not None and is_withheld(head, series.timeframe, now):
            head = self._store.floor(series, series.timeframe.latest_closed(now))
        return None if head is None else cell_of(series, head)

    def index(
        self, series: SeriesId, state: SeriesState, *, before: int | None, limit: int
    ) -> IndexPage:
        """The newest chunks of at most `limit` cells before the time `before`.

        Fewer where many names had to be computed.
        """
        tail = self.tail_start(series, state)
        if tail is None:
            return IndexPage([], None, None)
        kept = self._kept_cells(series, state)
        end = tail if before is None else min(tail, cell_of(series, before))
        found: list[Chunk] = []
        with kept.lock:
            start = self._newest_before(series, end, kept)
            computed = listed = 0
            while start is not None and listed < limit and computed < COMPUTED_CELLS:
                cell = kept.cells.get(start)
                metrics.HISTORY_CELLS.inc(1, "computed" if cell is None else "kept")
                if cell is None:
                    cell = kept.cells[start] = self._computed(series, start, kept)
                    computed += 1
                found[:0] = cell.chunks
                listed += 1
                end, start = start, cell.older
        self._evict_cells()
        return IndexPage(found, tail - 1 if tail else None, None if start is None else end)

    def body(self, series: SeriesId, name: str) -> bytes | None:
        """The gzip body of the chunk with this name; None if the store has no such chunk now."""
        with self._lock:
            if (body := self._bodies.get((series, name))) is not None:
                self._bodies.move_to_end((series, name))
                metrics.HISTORY_CHUNKS.inc(1, "cache")
                return body
        start = int(name.partition("-")[0])
        self._chunks(series, start, wanted=name)
        with self._lock:
            body = self._bodies.get((series, name))
        if body is None:
            self._forget(series, start, name)
        metrics.HISTORY_CHUNKS.inc(1, "none" if body is None else "store")
        return body

    def _forget(self, series: SeriesId, start: int, name: str) -> None:
        """Leave a chunk that is not there any more out of the index, with all older ones.

        TimescaleDB's retention drops candles without a revision.
        """
        with self._lock:
            kept = self._kept.get(series)
        if kept is None:
            return
        with kept.lock:
            first = cell_of(series, start)
            cell = kept.cells.get(first)
            if cell is not None and any(chunk.name == name for chunk in cell.chunks):
                for at in [at for at, each in kept.cells.items() if _is_cut(at, each, first)]:
                    del kept.cells[at]

    def _newest_before(self, series: SeriesId, end: int, kept: KeptCells) -> int | None:
        newest = self._store.floor(series, end - 1)
        # What retention removes is in no index, removed already or not.
        is_kept = newest is not None and newest >= kept.kept_from
        return cell_of(series, newest) if newest is not None and is_kept else None

    def _computed(self, series: SeriesId, start: int, kept: KeptCells) -> Cell:
        return Cell(self._chunks(series, start), self._newest_before(series, start, kept))

    def _chunks(
        self, series: SeriesId, start: int, *, wanted: str | None = None
    ) -> tuple[Chunk, ...]:
        """The chunks from `start` to the end of its cell; their bodies are put into the cache.

        With `wanted` only the first chunk, and its body only if that is its name.
        """
        end = cell_of(series, start) + cell_seconds(series)
        chunks: list[Chunk] = []
        while start < end:
            candles = self._store.read_range(series, start, end - 1, limit=CHUNK_CANDLES)
            if not candles:
                break
            content = encode(candles)
            digest = blake2b(content, digest_size=12).hexdigest()
            first, last = candles[0].candle_time, candles[-1].candle_time
            chunk = Chunk(f"{start}-{digest}", first, last, len(candles))
            chunks.append(chunk)
            if wanted in (None, chunk.name):
                self._put(series, chunk.name, compressed(content))
            if wanted is not None or len(candles) < CHUNK_CANDLES:
                break
            start = last + 1
        return tuple(chunks)

    def _put(self, series: SeriesId, name: str, body: bytes) -> None:
        with self._lock:
            replaced = self._bodies.pop((series, name), b"")
            self._bodies[series, name] = body
            self._bytes += len(body) - len(replaced)
            while self._bytes > self._max_bytes and len(self._bodies) > 1:
                self._bytes -= len(self._bodies.popitem(last=False)[1])
                metrics.HISTORY_EVICTED.inc()
            metrics.HISTORY_BYTES.set(self._bytes)

    def _kept_cells(self, series: SeriesId, state: SeriesState) -> KeptCells:
        """The known cells of the series that hold in `state`."""
        with self._lock:
            kept = self._kept.setdefault(series, KeptCells(state))
            self._kept.move_to_end(series)
        with kept.lock:
            if state.is_rewound_from(kept.state):
                kept.cells.clear()
            elif state.epoch != kept.state.epoch:
                revised = self._store.revised_since(series, kept.state.epoch)
                span = cell_seconds(series)
                for start in list(kept.cells):
                    if revised is None or start + span > revised:
                        del kept.cells[start]
            kept.state = state
            removed_to = self._store.kept_from(series)
            if removed_to != kept.kept_from:
                # Retention removed cells, and the next older one of the oldest that is left.
                first = cell_of(series, removed_to)
                for start in [at for at, each in kept.cells.items() if _is_cut(at, each, first)]:
                    del kept.cells[start]
                kept.kept_from = removed_to
        return kept

    def _evict_cells(self) -> None:
        """Forget the series that was asked for longest ago, while too many cells are kept."""
        with self._lock:
            total = sum(len(kept.cells) for kept in self._kept.values())
            while total > self._max_cells and len(self._kept) > 1:
                _, dropped = self._kept.popitem(last=False)
                total -= len(dropped.cells)


def _is_cut(start: int, cell: Cell, first: int) -> bool:
    return start <= first or (cell.older is not None and cell.older <= first)


def compressed(content: bytes) -> bytes:
    """The gzip body of a chunk; made once, so its size matters more than the time that it takes."""
    return zlib.compress(content, 9, zlib.MAX_WBITS | 16)


def cell_seconds(series: SeriesId) -> int:
    """The length of a cell."""
    return CELL_CANDLES * series.timeframe.seconds


def cell_of(series: SeriesId, candle_time: int) -> int:
    """The start of the cell that a candle lies in."""
    seconds = cell_seconds(series)
    return candle_time // seconds * seconds


@once
def history_chunks() -> HistoryChunks:
    """The chunks of this process's store; a test that empties the store clears this too."""
    return HistoryChunks(candle_store())
