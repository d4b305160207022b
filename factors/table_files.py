"""Files with a table of one series, a row an event or candle, in every format of exports."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from contextlib import AbstractContextManager
from enum import StrEnum
from typing import IO, NamedTuple, Protocol

from typing_extensions import override

from market.candle_files.arrow import pyarrow
from market.candle_files.columns import SERIES_KEY
from market.candle_files.writers import (
    BATCH_ROWS,
    ArrowFile,
    FileWriter,
    Kind,
    LinesFile,
    whole,
)
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


class TableWriter(FileWriter, Protocol):
    """A table that is being written."""

    def write(self, rows: Sequence[Row]) -> None:
        """Add rows, each with one value for each column."""


def writing_table(
    kind: Kind, sink: IO[bytes], series: SeriesId, columns: Sequence[Column]
) -> AbstractContextManager[TableWriter]:
    """A file with these columns, of which the first is `candle_time`; raises ArrowMissing.

    It is whole when the block has ended without an exception.
    """
    if kind.needs_arrow:
        return whole(ArrowTable(kind, sink, series, columns))
    return whole(CsvTable(sink, columns, packed=kind is Kind.CSV_GZ))


class CsvTable(LinesFile, TableWriter):
    """Lines; floats in their shortest exact form, texts quoted where they need it."""

    def __init__(self, sink: IO[bytes], columns: Sequence[Column], *, packed: bool) -> None:
        super().__init__(sink, packed=packed)
        self.write([[column.name for column in columns]])

    @override
    def write(self, rows: Sequence[Row]) -> None:
        lines = io.StringIO()
        csv.writer(lines, lineterminator="\n").writerows(rows)
        self._sink.write(lines.getvalue().encode())


class ArrowTable(ArrowFile, TableWriter):
    """Parquet, and the file format of Arrow."""

    def __init__(
        self, kind: Kind, sink: IO[bytes], series: SeriesId, columns: Sequence[Column]
    ) -> None:
        arrow = pyarrow()
        fields = [
            arrow.field(name, getattr(arrow, type_)(), nullable=is_nullable)
            for name, type_, is_nullable in columns
        ]
        schema = arrow.schema(fields).with_metadata({SERIES_KEY: str(series).encode()})
        super().__init__(kind, sink, schema)
        self._held: list[Row] = []

    @override
    def write(self, rows: Sequence[Row]) -> None:
        self._held += rows
        if len(self._held) >= BATCH_ROWS:
            self._flush()

    @override
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
