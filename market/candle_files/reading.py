"""One file with candles, whatever its format, as candles in the order of the file."""

from __future__ import annotations

import codecs
import gzip
import itertools
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO, cast

from market.candle_files.judge import Judges
from market.candle_files.refusals import FileRefused
from market.candle_files.tables import ARROW, PARQUET, kind_of, table_rows
from market.candle_files.text_blocks import (
    BLOCK_BYTES,
    MAX_LINE_BYTES,
    Block,
    blocks,
    json_lines,
    not_utf_8,
    pieces,
)
from market.candle_files.text_formats import JSON_LAYOUT, TEXT_FORMATS, layout_of
from market.candle_files.text_rows import Rows, text_rows

GZIP_MAGIC = b"\x1f\x8b"
MAGIC_BYTES = 16
SAMPLE_LINES = 50
BLANK = b"\xef\xbb\xbf \r\n\t"

MAX_TABLE_BYTES = 8 << 30
"""The largest table that is unpacked to disk, since it can only be read with seeks."""

AUTO = "auto"
JSON = "json"
FORMAT_NAMES = (AUTO, *TEXT_FORMATS, JSON, PARQUET, ARROW)


@dataclass(slots=True)
class Reading:
    """What is known of a file once its first rows were asked for: its format, and its candles."""

    format: str
    rows: Iterator[Rows]


def read(
    stream: BinaryIO, judges: Judges, *, wanted: str = AUTO, allow_unterminated: bool = False
) -> Reading:
    """Recognise the format of an open file, and read its candles.

    `wanted` is one of FORMAT_NAMES. Raises FileRefused and ArrowMissing, also while rows are read.
    """
    with _as_refused():
        content = _Peeked(stream)
        if content.start.startswith(GZIP_MAGIC):
            unpacked = gzip.GzipFile(fileobj=cast(BinaryIO, content))
            content = _Peeked(cast(BinaryIO, unpacked))
        kind = kind_of(content.start)
        if kind is not None:
            _require(wanted in (AUTO, kind), wanted)
            return Reading(kind, _guarded(_table(content, kind, judges)))
        _require(wanted not in (PARQUET, ARROW), wanted)
        text = pieces(cast(BinaryIO, content))
        if wanted == JSON or (wanted == AUTO and content.start.lstrip(BLANK)[:1] == b"["):
            judges.refusals.word = "row"
            found, layout = blocks(json_lines(text)), JSON_LAYOUT
        else:
            found = blocks(text)
            first = next(found, Block(1, b""))
            layout = layout_of(_sample(first), "" if wanted == AUTO else wanted)
            found = itertools.chain([first], found)
        rows = text_rows(found, layout, judges, allow_unterminated=allow_unterminated)
        return Reading(layout.name, _guarded(rows))


def _sample(block: Block) -> list[str]:
    # The last character of the sample may be cut.
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        text = decoder.decode(block.data[:MAX_LINE_BYTES])
    except UnicodeDecodeError as error:
        raise not_utf_8(block, error.start) from error
    return text.splitlines()[:SAMPLE_LINES]


def _table(content: _Peeked, kind: str, judges: Judges) -> Iterator[Rows]:
    """The rows of a table, which is unpacked to a file without a name if it has no seeks."""
    with tempfile.TemporaryFile() as file:
        size = 0
        while piece := content.read(BLOCK_BYTES):
            size += len(piece)
            if size > MAX_TABLE_BYTES:
                raise FileRefused("too_large", f"larger than {MAX_TABLE_BYTES >> 30} GiB unpacked")
            file.write(piece)
        file.seek(0)
        yield from table_rows(cast(BinaryIO, file), kind, judges)


def _require(fits: bool, wanted: str) -> None:
    if not fits:
        raise FileRefused("unknown_format", f"the file is not of the format {wanted}")


def _guarded(rows: Iterator[Rows]) -> Iterator[Rows]:
    with _as_refused():
        yield from rows


@contextmanager
def _as_refused() -> Iterator[None]:
    """What breaks while compressed data is read, as FileRefused."""
    try:
        yield
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise FileRefused("bad_gzip", str(error)) from error


class _Peeked:
    """A stream whose first bytes are known before they are read."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.start = stream.read(MAGIC_BYTES)
        self._rest = self.start

    def read(self, size: int = -1) -> bytes:
        """The next bytes, at most `size`; empty at the end."""
        if not self._rest:
            return self._stream.read(size)
        end = len(self._rest) if size < 0 else size
        taken, self._rest = self._rest[:end], self._rest[end:]
        # As much as was asked for: the format is recognised by the first block that is read.
        return taken + self._stream.read(size if size < 0 else size - len(taken))
