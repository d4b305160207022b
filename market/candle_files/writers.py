"""Writes candles into files of every format, batch by batch, in memory that does not grow."""

from __future__ import annotations

import csv
import gzip
import io
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from enum import StrEnum
from typing import IO, Any, Protocol, TypeVar, cast

from typing_extensions import override

from market.candle_files.arrow import pyarrow
from market.candle_files.columns import CSV_HEADER, SERIES_COLUMN, SERIES_KEY, arrow_schema
from market.domain.candle import Candle
from market.domain.series import SeriesId

# A row group of Parquet, a record batch of Arrow: 3 MB before compression.
BATCH_ROWS = 65_536


class Kind(StrEnum):
    """The formats, by the suffix of their files."""

    CSV = "csv"
    CSV_GZ = "csv.gz"
    PARQUET = "parquet"
    ARROW = "arrow"
    FEATHER = "feather"

    @property
    def needs_arrow(self) -> bool:
        """Whether files of this kind need the extra `arrow`."""
        return self not in (Kind.CSV, Kind.CSV_GZ)


class FileWriter(Protocol):
    """A file that is being written."""

    def close(self) -> None:
        """Write what is left, and the end of the file; its sink stays open."""

    def abandon(self) -> None:
        """Write nothing more: the file will not be whole."""


class CandleWriter(FileWriter, Protocol):
    """A file of candles that is being written."""

    def write(self, series: SeriesId, candles: Sequence[Candle]) -> None:
        """Add ascending candles of a series; a series' candles come after one another."""


Writer = TypeVar("Writer", bound=FileWriter)


@contextmanager
def whole(writer: Writer) -> Iterator[Writer]:
    """A file that is whole when the block has ended without an exception."""
    try:
        yield writer
    except BaseException:
        writer.abandon()
        raise
    writer.close()


def writing(
    kind: Kind, sink: IO[bytes], series: Sequence[SeriesId], *, with_column: bool = False
) -> AbstractContextManager[CandleWriter]:
    """A file of these series, written into `sink`; raises ArrowMissing.

    It is whole when the block has ended without an exception. `with_column` begins each row with
    the id of its series: where there are several.
    """
    if kind.needs_arrow:
        return whole(ArrowWriter(kind, sink, series, with_column=with_column))
    return whole(CsvWriter(sink, packed=kind is Kind.CSV_GZ, with_column=with_column))


class LinesFile(FileWriter):
    """A file of lines, packed or not."""

    def __init__(self, sink: IO[bytes], *, packed: bool = False) -> None:
        # Without a time, equal rows are equal bytes.
        self._packed = gzip.GzipFile(fileobj=sink, mode="wb", mtime=0) if packed else None
        self._sink = cast("IO[bytes]", self._packed) if self._packed is not None else sink

    @override
    def close(self) -> None:
        if self._packed is not None:
            self._packed.close()

    @override
    def abandon(self) -> None:
        if self._packed is not None:
            # Or its finalizer would write the end of the file.
            self._packed.fileobj = None  # type: ignore[assignment]


class CsvWriter(LinesFile, CandleWriter):
    """Lines; floats in their shortest exact form."""

    def __init__(self, sink: IO[bytes], *, packed: bool = False, with_column: bool = False) -> None:
        super().__init__(sink, packed=packed)
        self._with_column = with_column
        header = f"{SERIES_COLUMN},{CSV_HEADER}" if with_column else CSV_HEADER
        self._sink.write(f"{header}\n".encode())

    @override
    def write(self, series: SeriesId, candles: Sequence[Candle]) -> None:
        first = f"{quoted(str(series))}," if self._with_column else ""
        lines = [
            f"{first}{time},{open_!r},{high!r},{low!r},{close!r},{volume!r}\n"
            for time, open_, high, low, close, volume in candles
        ]
        self._sink.write("".join(lines).encode())

    def write_lines(self, lines: bytes) -> None:
        """Add whole lines of a file of the same kind."""
        self._sink.write(lines)


class ArrowFile(FileWriter, ABC):
    """A file of pyarrow: Parquet, or the file format of Arrow."""

    def __init__(self, kind: Kind, sink: IO[bytes], schema: Any) -> None:
        self._arrow = pyarrow()
        self._schema = schema
        self._sink = ArrowSink(sink)
        self._writer = _opened(kind, self._arrow.PythonFile(self._sink, mode="w"), schema)

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

    @abstractmethod
    def _flush(self) -> None:
        """Write the rows that are held."""


class ArrowWriter(ArrowFile, CandleWriter):
    """Parquet, and the file format of Arrow: doubles are stored as they are."""

    def __init__(
        self, kind: Kind, sink: IO[bytes], series: Sequence[SeriesId], *, with_column: bool
    ) -> None:
        super().__init__(kind, sink, _schema(series, with_column=with_column))
        self._places = {each: at for at, each in enumerate(series)} if with_column else {}
        self._names = self._arrow.array([str(each) for each in series]) if with_column else None
        self._held: list[Any] = []
        self._rows = 0

    @override
    def write(self, series: SeriesId, candles: Sequence[Candle]) -> None:
        if not candles:
            return
        columns = list(zip(*candles, strict=True))
        fields = list(self._schema)[-len(columns) :]
        arrays = [
            self._arrow.array(column, type=field.type)
            for column, field in zip(columns, fields, strict=True)
        ]
        if self._places:
            indices = self._arrow.repeat(
                self._arrow.scalar(self._places[series], "int32"), len(candles)
            )
            arrays.insert(0, self._arrow.DictionaryArray.from_arrays(indices, self._names))
        self.write_batch(self._arrow.RecordBatch.from_arrays(arrays, schema=self._schema))

    def write_batch(self, batch: Any) -> None:
        """Add a record batch of a file of the same columns."""
        self._held.append(batch)
        self._rows += batch.num_rows
        if self._rows >= BATCH_ROWS:
            self._flush()

    @override
    def _flush(self) -> None:
        if self._held:
            table = self._arrow.Table.from_batches(self._held, schema=self._schema)
            # One chunk of each column, so that the batches become one.
            self._writer.write_table(table.combine_chunks(), self._rows)
            self._held, self._rows = [], 0


class ArrowSink:
    """Passes bytes on until it is closed; what comes later is dropped."""

    def __init__(self, sink: IO[bytes]) -> None:
        self._sink = sink
        self.closed = False

    def write(self, content: bytes) -> int:
        return len(content) if self.closed else self._sink.write(content)

    def flush(self) -> None:
        pass

    def close(self) -> None:
        self.closed = True


def _schema(series: Sequence[SeriesId], *, with_column: bool) -> Any:
    schema = arrow_schema()
    if not with_column:
        (only,) = series
        return schema.with_metadata({SERIES_KEY: str(only).encode()})
    arrow = pyarrow()
    names = arrow.dictionary(arrow.int32(), arrow.string())
    return arrow.schema([arrow.field(SERIES_COLUMN, names, nullable=False), *schema])


def _opened(kind: Kind, sink: Any, schema: Any) -> Any:
    """A writer of pyarrow for a file of this kind, whose schema has `candle_time`."""
    if kind is Kind.PARQUET:
        # Times ascend by one step: their differences take next to nothing.
        encodings: Mapping[str, str] = {"candle_time": "DELTA_BINARY_PACKED"}
        dictionary = [name for name in schema.names if name not in encodings]
        return pyarrow("pyarrow.parquet").ParquetWriter(
            sink,
            schema,
            compression="zstd",
            use_dictionary=dictionary,
            column_encoding=encodings,
        )
    ipc = pyarrow("pyarrow.ipc")
    # An .arrow file can be mapped into memory as it is; Feather is compressed, as pandas writes it.
    options = ipc.IpcWriteOptions(compression="lz4" if kind is Kind.FEATHER else None)
    return ipc.new_file(sink, schema, options=options)


def quoted(text: str) -> str:
    """A text as a field of CSV."""
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow([text])
    return line.getvalue()
