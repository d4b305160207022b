"""Parquet, Arrow and Feather files as candles, by pyarrow, batch by batch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC
from typing import Any, BinaryIO

from market.candle_files.arrow import pyarrow
from market.candle_files.columns import SERIES_COLUMN, SERIES_KEY, VALUE_COLUMNS
from market.candle_files.fast_columns import candles_of, without_collections
from market.candle_files.judge import MAX_SHOWN, Judge, Judges
from market.candle_files.refusals import FileRefused, RowRefused
from market.candle_files.text_formats import named_places
from market.candle_files.text_rows import Rows
from market.candle_files.times import UNITS, TimeRefused, Unit, whole_seconds
from market.domain.candle import Candle

BATCH_ROWS = 50_000

PARQUET_MAGIC = b"PAR1"
ARROW_MAGIC = b"ARROW1"
STREAM_MAGIC = b"\xff\xff\xff\xff"
FEATHER_1_MAGIC = b"FEA1"

PARQUET, ARROW, FEATHER_1 = "parquet", "arrow", "feather-1"

_UNIT_OF_TYPE = dict(zip(("s", "ms", "us", "ns"), UNITS, strict=True))


def kind_of(start: bytes) -> str | None:
    """Which kind of table a file is, by its first bytes; None if it is none."""
    kinds = {PARQUET_MAGIC: PARQUET, ARROW_MAGIC: ARROW, STREAM_MAGIC: ARROW}
    kinds[FEATHER_1_MAGIC] = FEATHER_1
    return next((kind for magic, kind in kinds.items() if start.startswith(magic)), None)


def table_rows(file: BinaryIO, kind: str, judges: Judges) -> Iterator[Rows]:
    """The candles of a seekable file; raises RowRefused, FileRefused and ArrowMissing.

    Columns are taken by their names, in any order.
    """
    arrow = pyarrow()
    judges.refusals.word = "row"
    if kind == FEATHER_1:
        raise FileRefused("old_feather", "Feather of version 1 is not read: write version 2")
    try:
        first = 1
        for batch in _batches(arrow, file, kind):
            for start in range(0, batch.num_rows, BATCH_ROWS):
                part = batch.slice(start, BATCH_ROWS)
                yield from _parts(part, first, judges)
                first += part.num_rows
    except (arrow.ArrowException, OSError) as error:
        raise FileRefused("bad_table", f"the file is damaged: {error}") from error


def _parts(batch: Any, first: int, judges: Judges) -> Iterator[Rows]:
    """The candles of a batch, in one part for each run of rows of the same series."""
    if SERIES_COLUMN not in batch.schema.names:
        named = (batch.schema.metadata or {}).get(SERIES_KEY, b"").decode(errors="replace")
        judge = judges.only(named)
        yield Rows(judge.series, first, _candles(batch, first, judge))
        return
    column = batch.column(SERIES_COLUMN).cast(pyarrow().string())
    runs = pyarrow("pyarrow.compute").run_end_encode(column)
    start = 0
    for end, name in zip(runs.run_ends.to_pylist(), runs.values.to_pylist(), strict=True):
        judge_of = judges.of(first + start, name or "")
        if judge_of is not None:
            part = batch.slice(start, end - start)
            candles = _candles(part, first + start, judge_of)
            yield Rows(judge_of.series, first + start, candles)
        start = end


def _batches(arrow: Any, file: BinaryIO, kind: str) -> Iterator[Any]:
    if kind == PARQUET:
        parquet = pyarrow("pyarrow.parquet").ParquetFile(file)
        # Only the needed columns are read and decompressed.
        names = parquet.schema_arrow.names
        columns = [names[at] for at in _places(names)]
        columns += [name for name in names if name == SERIES_COLUMN]
        yield from parquet.iter_batches(batch_size=BATCH_ROWS, columns=columns)
        return
    is_stream = file.read(4) == STREAM_MAGIC
    file.seek(0)
    if is_stream:
        yield from arrow.ipc.open_stream(file)
        return
    reader = arrow.ipc.open_file(file)
    for at in range(reader.num_record_batches):
        yield reader.get_batch(at)


def _places(names: Sequence[str]) -> Sequence[int]:
    places = named_places([name.strip().lower() for name in names])
    if places is None:
        message = f"columns of time, open, high, low, close, volume expected: {list(names)[:20]}"
        raise FileRefused("unknown_format", message)
    return [at for at in places if isinstance(at, int)]


def _candles(batch: Any, first: int, judge: Judge) -> list[Candle]:
    arrow = pyarrow()
    time, *values = (batch.column(at) for at in _places(batch.schema.names))
    unit, times = _times(arrow, time, judge)
    numbers = [
        _numbers(arrow, name, column) for name, column in zip(VALUE_COLUMNS, values, strict=True)
    ]
    columns = [column.to_pylist() for column in (time if times is None else times, *numbers)]
    is_plain = times is not None and not any(column.null_count for column in (times, *numbers))
    with without_collections():
        candles = candles_of(columns[0], columns[1:], judge, unit) if is_plain else None
    if candles is not None:
        return candles
    rows = enumerate(zip(*columns, strict=True), first)
    found = (_candle(row, each, unit, judge) for row, each in rows)
    return [candle for candle in found if candle is not None]


def _times(arrow: Any, column: Any, judge: Judge) -> tuple[Unit | None, Any]:
    """The unit and the int64 times of a column; no times if they are text or of another type."""
    kind = column.type
    has_zone = not arrow.types.is_timestamp(kind) or kind.tz or judge.rules.zone is UTC
    if not has_zone:
        return None, None
    if arrow.types.is_timestamp(kind):
        return _UNIT_OF_TYPE[kind.unit], column.cast(arrow.int64())
    if arrow.types.is_date(kind):
        return UNITS[0], column.cast(arrow.timestamp("s")).cast(arrow.int64())
    if arrow.types.is_signed_integer(kind) or kind == arrow.uint32():
        return None, column.cast(arrow.int64())
    return None, None


def _numbers(arrow: Any, name: str, column: Any) -> Any:
    kind = column.type
    if not (
        arrow.types.is_floating(kind)
        or arrow.types.is_integer(kind)
        or arrow.types.is_decimal(kind)
    ):
        raise FileRefused("not_a_number", f"the column {name} holds {kind}, not numbers")
    return column.cast(arrow.float64())


def _candle(row: int, given: Sequence[Any], unit: Unit | None, judge: Judge) -> Candle | None:
    time, *numbers = given
    if any(value is None for value in given):
        empty = next(
            name
            for name, value in zip(("candle_time", *VALUE_COLUMNS), given, strict=True)
            if value is None
        )
        judge.refusals.add(RowRefused(row, "not_a_number", f"{empty} is missing"))
        return None
    if unit is None:
        return judge.text_row(row, str(time)[:MAX_SHOWN], [repr(each) for each in numbers])
    try:
        seconds = whole_seconds(time, unit)
    except TimeRefused as error:
        judge.refusals.add(RowRefused(row, error.code, str(error), found=str(time)))
        return None
    judge.forms[unit.name] += 1
    return judge.row(row, seconds, numbers)
