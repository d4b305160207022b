"""Files with a table of one series, a row an event or candle, in every format of exports."""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from typing import IO, NamedTuple, Protocol, cast

from typing_extensions import override

from market.candle_files.arrow import pyarrow
from market.candle_files.columns import SERIES_KEY
from market.candle_files.writers import BATCH_ROWS, ArrowSink, Kind, opened_arrow
from market.domain.series import SeriesId

Row = Sequence[int | float | str | None]


class Type(StrEnum):
    """The types of columns, as Arrow names them."""

    INTEGER = "int64"
    FLOAT = "float64"
    TEXT = "string"


class Column(NamedTuple):
    """A column of a table; a nullable one is empty in CSV where it has no value."""

    name: str
    type: Type
    is_nullable: bool = False


class TableWriter(Protocol):
    """A file that is being written."""

    def write(self, rows: Sequence[Row]) -> None:
        """Add rows, each with one value for each column."""

    def close(self) -> None:
        """Write what is left, and the end of the file; `sink` stays open."""

    def abandon(self) -> None:
        """Write nothing more: the file will not be whole."""


@contextmanager
def writing_table(
    kind: Kind, sink: IO[bytes], series: SeriesId, columns: Sequence[Column]
) -> Iterator[TableWriter]:
    """A file with these columns, of which the first is `candle_time`; raises ArrowMissing.

    It is whole when the block has ended without an exception.
    """
    writer: TableWriter
    if kind.needs_arrow:
        writer = ArrowTable(kind, sink, series, columns)
    else:
        writer = CsvTable(sink, columns, packed=kind is Kind.CSV_GZ)
    try:
        yield writer
    except BaseException:
        writer.abandon()
        raise
    writer.close()


class CsvTable(TableWriter):
    """Lines; floats in their shortest exact form, texts quoted where they need it."""

    def __init__(self, sink: IO[bytes], columns: Sequence[Column], *, packed: bool) -> None:
        # Without a time, equal rows are equal bytes.
        self._packed = gzip.GzipFile(fileobj=sink, mode="wb", mtime=0) if packed else None
        self._sink = cast("IO[bytes]", self._packed) if self._packed is not None else sink
        self.write([[column.name for column in columns]])

    @override
    def write(self, rows: Sequence[Row]) -> None:
        lines = io.StringIO()
        csv.writer(lines, lineterminator="\n").writerows(rows)
        self._sink.write(lines.getvalue().encode())

    @override
    def close(self) -> None:
        if self._packed is not None:
            self._packed.close()

    @override
    def abandon(self) -> None:
        if self._packed is not None:
            # Or its finalizer would write the end of the file.
            self._packed.fileobj = None  # type: ignore[assignment]


class ArrowTable(TableWriter):
    """Parquet, and the file format of Arrow."""

    def __init__(
        self, kind: Kind, sink: IO[bytes], series: SeriesId, columns: Sequence[Column]
    ) -> None:
        arrow = self._arrow = pyarrow()
        fields = [
            arrow.field(name, getattr(arrow, type_)(), nullable=is_nullable)
            for name, type_, is_nullable in columns
        ]
        self._schema = arrow.schema(fields).with_metadata({SERIES_KEY: str(series).encode()})
        self._sink = ArrowSink(sink)
        self._writer = opened_arrow(kind, arrow.PythonFile(self._sink, mode="w"), self._schema)
        self._held: list[Row] = []

    @override
    def write(self, rows: Sequence[Row]) -> None:
        self._held += rows
        if len(self._held) >= BATCH_ROWS:
            self._flush()

    @override
    def close(self) -> None:
        self._flush()
        self._writer.close()
        self._sink.close()

    @override
    def abandon(self) -> None:
        # Its finalizer would write the end of the file.
        self._sink.close()
        self._writer.close()

    def _flush(self) -> None:
        if not self._held:
            return
        arrays = [
            self._arrow.array(values, type=field.type)
            for values, field in zip(zip(*self._held, strict=True), self._schema, strict=True)
        ]
        table = self._arrow.Table.from_arrays(arrays, schema=self._schema)
        self._writer.write_table(table, len(self._held))
        self._held = []
