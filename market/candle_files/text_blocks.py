"""The text of a file in blocks of whole lines, as UTF-8, in bounded memory."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import BinaryIO, NamedTuple

from market.candle_files.refusals import FileRefused, RowRefused

BLOCK_BYTES = 2 << 20
MAX_LINE_BYTES = 64 << 10

_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_UTF_32 = (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)


class Block(NamedTuple):
    """Whole lines. `first` is the number of the first line; the last may lack its line end."""

    first: int
    data: bytes
    is_terminated: bool = True


def not_utf_8(block: Block, at: int) -> RowRefused:
    """The refusal of a block with other bytes than UTF-8 text at a place."""
    line = block.first + block.data[:at].count(b"\n")
    return RowRefused(line, "encoding", "the file is not UTF-8 text")


def pieces(stream: BinaryIO) -> Iterator[bytes]:
    """The content of a file as UTF-8 without a byte order mark; raises FileRefused."""
    start = stream.read(BLOCK_BYTES)
    if start.startswith(_UTF_32):
        raise FileRefused("encoding", "the file is UTF-32 text, UTF-8 or UTF-16 is needed")
    if start.startswith(_UTF_16):
        yield from _recoded(start, stream)
        return
    if start[1:2] == b"\0" or start[:1] == b"\0":
        raise FileRefused("encoding", "the file looks like UTF-16 without a byte order mark")
    yield start.removeprefix(codecs.BOM_UTF8)
    while piece := stream.read(BLOCK_BYTES):
        yield piece


def _recoded(start: bytes, stream: BinaryIO) -> Iterator[bytes]:
    decoder = codecs.getincrementaldecoder("utf-16")()
    try:
        piece = start
        while piece:
            yield decoder.decode(piece).encode()
            piece = stream.read(BLOCK_BYTES)
        yield decoder.decode(b"", final=True).encode()
    except UnicodeError as error:
        raise FileRefused("encoding", "the file is not UTF-16 text") from error


def blocks(content: Iterable[bytes]) -> Iterator[Block]:
    """Pieces of text as blocks of whole lines; raises RowRefused for an endless line."""
    rest, line = b"", 1
    for piece in content:
        end = piece.rfind(b"\n") + 1
        if end:
            block = Block(line, rest + piece[:end])
            yield block
            line += block.data.count(b"\n")
            rest = piece[end:]
        else:
            rest += piece
        if len(rest) > MAX_LINE_BYTES:
            raise RowRefused(line, "long_line", f"longer than {MAX_LINE_BYTES:,} bytes")
    if rest.strip():
        yield Block(line, rest, is_terminated=False)


_FIRST_ROW = re.compile(rb"\s*\[\s*\[")
_NO_ROWS = re.compile(rb"\s*\[\s*\]\s*")
_BETWEEN_ROWS = re.compile(rb"\]\s*,\s*\[")
_LAST_ROW = re.compile(rb"([^\[\]]*)\]\s*\]\s*")


def json_lines(content: Iterable[bytes]) -> Iterator[bytes]:
    """A JSON array of arrays of numbers as lines of comma-separated values, one for each row.

    It is never held whole: a parsed array takes twenty times its text. Raises FileRefused if it
    does not begin or end like one.
    """
    found = (piece.replace(b"\n", b" ").replace(b"\r", b" ") for piece in content)
    rest = _after_beginning(found)
    if rest is None:
        return
    for piece in chain([b""], found):
        rest += piece
        # The last row may go on in the next piece.
        end = rest.rfind(b"[") + 1
        if end:
            yield _BETWEEN_ROWS.sub(b"\n", rest[:end])
            rest = rest[end:]
        if len(rest) > MAX_LINE_BYTES:
            raise FileRefused("bad_json", "a row has no end")
    last = _LAST_ROW.fullmatch(rest)
    if last is None:
        raise FileRefused("bad_json", "the array has no end: the file may be cut")
    yield last[1] + b"\n"


def _after_beginning(found: Iterator[bytes]) -> bytes | None:
    """What follows the two first brackets; None if the array is empty."""
    rest = b""
    for piece in found:
        rest += piece
        if len(rest.translate(None, b" \t")) >= 2 or len(rest) > MAX_LINE_BYTES:
            break
    if _NO_ROWS.fullmatch(rest):
        return None
    begin = _FIRST_ROW.match(rest)
    if begin is None:
        raise FileRefused("bad_json", "the file must be an array of arrays of numbers")
    return rest[begin.end() :]
