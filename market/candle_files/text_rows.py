"""Blocks of lines as candles, row by row: the reader that decides what is wrong.

The fast reader of market.candle_files.fast_blocks only takes blocks without any fault, and leaves
all others to this one: so both give the same candles and the same errors.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from market.candle_files.fast_blocks import FastReader, fast_reader
from market.candle_files.judge import Judges
from market.candle_files.refusals import RowRefused
from market.candle_files.text_blocks import Block, not_utf_8
from market.candle_files.text_formats import Layout
from market.domain.candle import Candle
from market.domain.series import SeriesId

UNTERMINATED = "the last line has no line end, it may be cut (--allow-unterminated takes it)"


class Rows(NamedTuple):
    """Candles of a series in the order of their file; `first` is the number of the first row."""

    series: SeriesId
    first: int
    candles: list[Candle]


def text_rows(
    blocks: Iterable[Block], layout: Layout, judges: Judges, *, allow_unterminated: bool = False
) -> Iterator[Rows]:
    """The candles of each block, in the order of the file; raises RowRefused, FileRefused."""
    only = judges.only() if layout.series_at is None else None
    fast: FastReader | None = None
    for number, block in enumerate(blocks):
        start = layout.skip + 1 - block.first
        if start > 0:
            block = _without_first(block, start)
        if only and number == 0:
            fast = fast_reader(layout, only, block.data)
        if only and fast and block.is_terminated:
            candles = fast.candles(block.data)
            if candles is not None:
                yield Rows(only.series, block.first, candles)
                continue
        yield from _slow(block, layout, judges, allow_unterminated=allow_unterminated)


def _without_first(block: Block, lines: int) -> Block:
    data = block.data
    for _ in range(lines):
        data = data[data.find(b"\n") + 1 :] if b"\n" in data else b""
    return Block(block.first + lines, data, block.is_terminated)


def _slow(
    block: Block, layout: Layout, judges: Judges, *, allow_unterminated: bool
) -> Iterator[Rows]:
    rows: Rows | None = None
    try:
        for line, series, candle in _judged(block, layout, judges, allow_unterminated):
            if rows is None or rows.series != series:
                if rows is not None:
                    yield rows
                rows = Rows(series, line, [])
            rows.candles.append(candle)
    except RowRefused:
        # What comes before the first wrong line can be stored.
        if rows is not None:
            yield rows
        raise
    if rows is not None:
        yield rows


def _judged(
    block: Block, layout: Layout, judges: Judges, allow_unterminated: bool
) -> Iterator[tuple[int, SeriesId, Candle]]:
    text = _decoded(block)
    last = block.first + text.count("\n")
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=layout.delimiter, strict=True)
    for line, row in _numbered(reader, block.first):
        if not block.is_terminated and line == last and not allow_unterminated:
            judges.refusals.add(RowRefused(line, "unterminated", UNTERMINATED))
            continue
        found = _candle(line, row, layout, judges)
        if found is not None:
            yield line, *found


def _numbered(reader: Iterator[list[str]], first: int) -> Iterator[tuple[int, list[str]]]:
    """Rows with their line numbers, without blank lines."""
    line = first - 1
    try:
        for row in reader:
            line = first + reader.line_num - 1  # type: ignore[attr-defined]
            if row and (len(row) > 1 or row[0].strip()):
                yield line, row
    except csv.Error as error:
        raise RowRefused(line + 1, "bad_csv", str(error)) from error


def _candle(
    line: int, row: list[str], layout: Layout, judges: Judges
) -> tuple[SeriesId, Candle] | None:
    # Arrays of JSON may differ in what follows the six values.
    if len(row) != layout.width and (layout.width or len(row) < len(layout.at)):
        expected = layout.width or len(layout.at)
        message = f"{expected} values expected, {len(row)} found"
        judges.refusals.add(RowRefused(line, "wrong_width", message))
        return None
    at = layout.series_at
    judge = judges.only() if at is None else judges.of(line, row[at].strip())
    if judge is None:
        return None
    time, *places = layout.at
    parts = time if isinstance(time, tuple) else (time,)
    moment = " ".join(row[part].strip() for part in parts)
    values = [row[place].strip() for place in places]
    candle = judge.text_row(line, moment, values, compact_dates=layout.compact_dates)
    return None if candle is None else (judge.series, candle)


def _decoded(block: Block) -> str:
    try:
        return block.data.decode()
    except UnicodeDecodeError as error:
        raise not_utf_8(block, error.start) from error
