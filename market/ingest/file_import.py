"""Imports files of candles: chunk by chunk through the pipeline, each whole or not at all.

A chunk that is stored already changes nothing, so an import that broke off is simply repeated.
"""

from __future__ import annotations

import itertools
from array import array
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import pairwise
from math import gcd
from typing import NamedTuple

from asgiref.sync import async_to_sync

from market.bus.publish import publish_change
from market.candle_files.refusals import RowRefused
from market.candle_files.text_rows import Rows
from market.domain.candle import Candle, in_time_order
from market.domain.gaps import Gap
from market.domain.series import SeriesId
from market.domain.timeframe import Timeframe
from market.ingest.derive import brought_up, derivation
from market.runtime import candle_store, pipeline

CHUNK = 50_000

MOST_OPEN = 4 * CHUNK
"""The candles that are held until their chunk is full, where rows of many series are mixed."""

MOST_HELD = 4_000_000
"""The candles of a file with the newest first that are held in memory; they take 200 MB."""

ENOUGH_ROWS = 3
"""From how many candles on their distances show a coarser timeframe."""


class Runs:
    """The open times that were read, as runs without holes."""

    def __init__(self) -> None:
        # Two numbers a run, in arrays: in the worst case every candle is a run of its own.
        self._first = array("q")
        self._last = array("q")

    def add(self, candles: Sequence[Candle], step: int) -> None:
        """Add ascending candles."""
        first, last = candles[0].candle_time, candles[-1].candle_time
        if last - first == (len(candles) - 1) * step:
            self._extend(first, last, step)
            return
        for candle in candles:
            self._extend(candle.candle_time, candle.candle_time, step)

    def _extend(self, first: int, last: int, step: int) -> None:
        if self._last and first == self._last[-1] + step:
            self._last[-1] = last
        else:
            self._first.append(first)
            self._last.append(last)

    @property
    def span(self) -> tuple[int, int] | None:
        """The first and the last open time."""
        return (min(self._first), max(self._last)) if self._first else None

    def holes(self, timeframe: Timeframe) -> tuple[int, int]:
        """How many holes there are, and how many candles are missing in them."""
        holes = missing = 0
        reached: int | None = None
        for first, last in sorted(zip(self._first, self._last, strict=True)):
            lacking = 0 if reached is None else Gap(reached, first).missing_candles(timeframe)
            holes += lacking > 0
            missing += lacking
            reached = last if reached is None else max(reached, last)
        return holes, missing


@dataclass(slots=True)
class SeriesTally:
    """What was read of one series, and what became of it."""

    rows: int = 0
    inserted: int = 0
    revised: int = 0
    repeated: int = 0
    duplicates: int = 0
    """Rows for an open time that another row of the same chunk had, too; the last one counts."""
    runs: Runs = field(default_factory=Runs)

    def __str__(self) -> str:
        return f"{self.inserted:,} inserted, {self.revised:,} revised, {self.repeated:,} repeated"


class Chunk(NamedTuple):
    """Candles of one series; `row` is the number of the first one's row."""

    series: SeriesId
    row: int
    candles: list[Candle]


def chunks(rows: Iterable[Rows], size: int) -> Iterator[Chunk]:
    """Rows in chunks of `size`, in the order of the file; the oldest first if it is reversed."""
    found = (each for each in rows if each.candles)
    first = next(found, None)
    if first is None:
        return
    everything: Iterator[Rows] = itertools.chain([first], found)
    if first.candles[0].candle_time > first.candles[-1].candle_time:
        everything = _reversed(everything)
    held: dict[SeriesId, Chunk] = {}
    count = 0
    for series, row, candles in everything:
        chunk = held.setdefault(series, Chunk(series, row, []))
        chunk.candles.extend(candles)
        count += len(candles)
        while len(chunk.candles) >= size:
            yield Chunk(series, chunk.row, chunk.candles[:size])
            chunk = held[series] = Chunk(series, row, chunk.candles[size:])
            count -= size
        if count >= MOST_OPEN:
            yield from (each for each in held.values() if each.candles)
            held, count = {}, 0
    yield from (each for each in held.values() if each.candles)


def _reversed(rows: Iterable[Rows]) -> Iterator[Rows]:
    """The last rows first: else nearly every chunk would be a revision of the past."""
    held: list[tuple[SeriesId, int, list[array[float]]]] = []
    count = 0
    for each in rows:
        times, *values = zip(*each.candles, strict=True)
        columns = [array("q", times), *(array("d", column) for column in values)]
        held.append((each.series, each.first, columns))
        count += len(times)
        if count >= MOST_HELD:
            yield from _released(held)
            count = 0
    yield from _released(held)


def _released(held: list[tuple[SeriesId, int, list[array[float]]]]) -> Iterator[Rows]:
    while held:
        series, first, columns = held.pop()
        candles = list(map(Candle._make, zip(*columns, strict=True)))
        candles.reverse()
        yield Rows(series, first, candles)


class Importer:
    """Stores the candles of files. `tallies` are the results, by series, over all files.

    With `is_dry` nothing is stored, and the results are what would have become of the candles.
    `allow_coarser` takes candles that all lie on the grid of a coarser timeframe.
    """

    def __init__(
        self, *, chunk: int = CHUNK, is_dry: bool = False, allow_coarser: bool = False
    ) -> None:
        self.tallies: dict[SeriesId, SeriesTally] = {}
        self._chunk = chunk
        self._is_dry = is_dry
        self._allow_coarser = allow_coarser

    def take(self, rows: Iterable[Rows]) -> Iterator[int]:
        """Store the candles of one file; yields the number of rows of each chunk stored.

        Raises FileRefused at the first wrong row, PipelineError and StoreUnavailable; chunks
        before that remain.
        """
        steps: dict[SeriesId, int] = {}
        for series, row, given in chunks(_read_ahead(iter(rows)), self._chunk):
            candles = in_time_order(given)
            if not self._allow_coarser:
                _refuse_coarser(series, row, candles, steps)
            tally = self.tallies.setdefault(series, SeriesTally())
            tally.duplicates += len(given) - len(candles)
            store = _compare if self._is_dry else _store
            store(series, candles, tally)
            tally.rows += len(given)
            tally.runs.add(candles, series.timeframe.seconds)
            yield len(given)


def _read_ahead(rows: Iterator[Rows]) -> Iterator[Rows]:
    """Read the next rows while those before are stored, which is mostly waiting for the server."""
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="read-ahead") as thread:
        pending = thread.submit(next, rows, None)
        while (found := pending.result()) is not None:
            pending = thread.submit(next, rows, None)
            yield found


def _refuse_coarser(
    series: SeriesId, row: int, candles: list[Candle], steps: dict[SeriesId, int]
) -> None:
    """Raise RowRefused if all candles of a file so far lie on the grid of a coarser timeframe."""
    length = series.timeframe.seconds
    known = steps.get(series, 0)
    if 0 < known <= length:
        return
    distances = {later[0] - earlier[0] for earlier, later in pairwise(candles)}
    steps[series] = step = gcd(known, *distances)
    if step > length and len(candles) >= ENOUGH_ROWS:
        message = (
            f"all open times are {step} s apart, or a multiple: these are not candles of"
            f" {series.timeframe} (--allow-coarser takes them)"
        )
        raise RowRefused(row, "coarser_timeframe", message)


def _store(series: SeriesId, candles: list[Candle], tally: SeriesTally) -> None:
    change = pipeline().ingest(series, candles)
    changed = len(change.fresh) + len(change.past)
    tally.revised += change.replaced
    tally.inserted += changed - change.replaced
    tally.repeated += len(candles) - changed
    # Bulk history is not published as live candles; hubs find the new head in the store.
    for each in (change, *brought_up(derivation().due(change), change)):
        async_to_sync(publish_change)(replace(each, fresh=()))


def _compare(series: SeriesId, candles: list[Candle], tally: SeriesTally) -> None:
    """Count what would be inserted, revised and repeated."""
    start, end = candles[0].candle_time, candles[-1].candle_time
    given = {each.candle_time: each for each in candles}
    stored = 0
    while page := candle_store().read_range(series, start, end, limit=CHUNK):
        for each in page:
            if (same := given.get(each.candle_time)) is not None:
                stored += 1
                tally.revised += same != each
                tally.repeated += same == each
        start = page[-1].candle_time + 1
    tally.inserted += len(candles) - stored
