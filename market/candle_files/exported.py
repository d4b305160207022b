"""A file with a series that is brought up to the store, reading only what changed since.

Beside the file is a note of what it has: up to which candle, and which revisions. The note is
written before the file gets its name, and names its size and time: a note that is not of this file,
after a crash or a copy, only means that the store is read from its first candle on.

Candles before the first one of the store stay in the file: what retention has removed from the
store since then is kept there.
"""

from __future__ import annotations

import gzip
import json
import os
import zlib
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from itertools import takewhile
from pathlib import Path
from typing import IO, Any, cast

from market.candle_files.arrow import pyarrow
from market.candle_files.columns import CSV_HEADER, TIME_COLUMN
from market.candle_files.writers import BATCH_ROWS, ArrowWriter, CsvWriter, Kind, writing
from market.domain.candle import Candle
from market.domain.series import SeriesId
from market.domain.store import CandleStore, SeriesState
from market.domain.timeframe import MAX_TIME
from market.files import whole_file, write_whole
from market.pieces import joined

FORMAT = 1
PAGE = 10_000
COPIED_BYTES = 1_048_576

# Pages of a series with few candles may stretch over so many times the usual time.
MOST_SPANS = 256


class ExportRefused(ValueError):
    """A file that can't be brought up; the message says what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """What a file has: a series from `start` up to its head, with the revisions up to its epoch."""

    series_id: str
    start: int
    head: int
    epoch: int
    generation: str
    size: int
    modified_ns: int

    @property
    def state(self) -> SeriesState:
        """The state that the series had when the file was written."""
        return SeriesState(self.head, self.epoch, self.generation)


@dataclass(frozen=True, slots=True)
class BroughtUp:
    """What an export did: how many candles it read, and the open time of the first of them.

    `is_changed`: whether the file was written at all.
    """

    is_changed: bool
    candles: int = 0
    first: int | None = None


def bring_up(
    path: Path,
    kind: Kind,
    series: SeriesId,
    store: CandleStore,
    *,
    start: int = 0,
    written: Callable[[int], object] = lambda count: None,
) -> BroughtUp:
    """Bring a file up to the series as it is stored, from `start` on.

    Raises ExportRefused, ArrowMissing, OSError and SeriesDamaged; the file is then as it was.
    """
    state = store.state(series)
    note = _note_of(path, series)
    if note is not None:
        start = min(start, note.start)
    since = _changed_from(store, series, state, note, start)
    if since is None or state.head is None:
        return BroughtUp(is_changed=False)
    count, first = 0, None
    with whole_file(path) as draft:
        with draft.open("wb") as sink, writing(kind, sink, [series]) as writer:
            if path.exists():
                _copy_before(path, kind, since, writer)
            for page in pages(store, series, since, state.head):
                writer.write(series, page)
                written(len(page))
                first = page[0].candle_time if first is None else first
                count += len(page)
        _write_note(path, draft, series, start, state)
    return BroughtUp(True, count, first)


def pages(
    store: CandleStore, series: SeriesId, start: int, end: int, *, size: int = 0
) -> Iterator[list[Candle]]:
    """The candles of a range (inclusive), at most `size` at a time, or PAGE.

    Each read is bounded in time as well: PostgreSQL, as long as it has no statistics of the table,
    reads and sorts the whole rest of a series for a page of it.
    """
    size = size or PAGE
    span = shortest = size * series.timeframe.seconds
    while start <= end:
        until = min(end, start + span - 1)
        page = store.read_range(series, start, until, limit=size)
        if page:
            yield page
            # Off the grid there may be more of them.
            start = page[-1].candle_time + 1 if len(page) == size else until + 1
            if len(page) == size:
                span = max(span // 2, shortest)
            elif len(page) < size // 2:
                span = min(2 * span, MOST_SPANS * shortest)
        else:
            later = store.read_range(series, until + 1, end, limit=1)
            start = later[0].candle_time if later else end + 1


def changed_since(
    store: CandleStore, series: SeriesId, state: SeriesState, before: SeriesState
) -> int | None:
    """The time from which the series may differ from what it was in `before`.

    0: all of it. None: nothing has changed.
    """
    if state.is_rewound_from(before) or before.head is None:
        return 0
    if state.epoch == before.epoch:
        return None if state.head == before.head else before.head + 1
    revised = store.revised_since(series, before.epoch)
    return 0 if revised is None else min(revised, before.head + 1)


def note_path(path: Path) -> Path:
    """Where the note of a file is: hidden, so that it is not taken for data."""
    return path.with_name(f".{path.name}.exported")


def _changed_from(
    store: CandleStore, series: SeriesId, state: SeriesState, note: Note | None, start: int
) -> int | None:
    since: int | None = 0
    if note is not None and start == note.start:
        since = changed_since(store, series, state, note.state)
    if since is None:
        return None
    # What is before the first candle of the store stays in the file.
    first = store.read_range(series, start, MAX_TIME, limit=1)
    return max(since, first[0].candle_time if first else start)


def _note_of(path: Path, series: SeriesId) -> Note | None:
    """The note of a file; None without a file, or where it is not the note of this file."""
    if not path.exists():
        return None
    try:
        values = json.loads(note_path(path).read_text(encoding="utf-8"))
        if values.pop("format") != FORMAT:
            raise ExportRefused(f"{note_path(path)} was written by a newer version")
        note = Note(**values)
    except FileNotFoundError:
        raise ExportRefused(
            f"{path} is there already, and was not written with --since-last:"
            " remove it, or choose another name"
        ) from None
    except (json.JSONDecodeError, KeyError, TypeError, AttributeError):
        raise ExportRefused(
            f"{note_path(path)} is damaged: remove it and {path} to export everything again"
        ) from None
    if note.series_id != str(series):
        raise ExportRefused(f"{path} has candles of {note.series_id}")
    status = path.stat()
    return note if (note.size, note.modified_ns) == (status.st_size, status.st_mtime_ns) else None


def _write_note(path: Path, draft: Path, series: SeriesId, start: int, state: SeriesState) -> None:
    status = draft.stat()
    note = Note(
        series_id=str(series),
        start=start,
        head=state.head or 0,
        epoch=state.epoch,
        generation=state.generation,
        size=status.st_size,
        modified_ns=status.st_mtime_ns,
    )
    write_whole(note_path(path), json.dumps({"format": FORMAT} | asdict(note)) + os.linesep)


def _copy_before(path: Path, kind: Kind, end: int, writer: Any) -> None:
    """Copy the rows before the time `end`, which are not read from the store again."""
    try:
        if isinstance(writer, ArrowWriter):
            for batch in _batches_before(path, kind, end):
                writer.write_batch(batch)
        else:
            _copy_lines_before(path, kind, end, writer)
    except (EOFError, ValueError, zlib.error, gzip.BadGzipFile) as error:
        # pyarrow's errors are ValueErrors.
        raise ExportRefused(
            f"{path} can't be read ({error}): remove it to export everything again"
        ) from error


def _copy_lines_before(path: Path, kind: Kind, end: int, writer: CsvWriter) -> None:
    with path.open("rb") as file:
        packed = gzip.GzipFile(fileobj=file) if kind is Kind.CSV_GZ else file
        lines = cast("IO[bytes]", packed)
        if lines.readline().decode().rstrip("\n") != CSV_HEADER:
            raise ValueError("its header is another")
        earlier = takewhile(lambda line: int(line[: line.index(b",")]) < end, lines)
        for part in joined(earlier, COPIED_BYTES):
            writer.write_lines(part)


def _batches_before(path: Path, kind: Kind, end: int) -> Iterator[Any]:
    compute = pyarrow("pyarrow.compute")
    for batch in _batches(path, kind):
        times = batch.column(TIME_COLUMN)
        if not batch.num_rows or times[-1].as_py() < end:
            yield batch
            continue
        yield batch.filter(compute.less(times, end))
        return


def _batches(path: Path, kind: Kind) -> Iterator[Any]:
    if kind is Kind.PARQUET:
        with pyarrow("pyarrow.parquet").ParquetFile(path) as file:
            yield from file.iter_batches(BATCH_ROWS)
        return
    with pyarrow().memory_map(str(path)) as mapped:
        file = pyarrow("pyarrow.ipc").open_file(mapped)
        for at in range(file.num_record_batches):
            yield file.get_batch(at)
