"""Blocks of lines as candles, whole columns at once, for blocks in which nothing is wrong."""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from market.candle_files.arrow import has_arrow, pyarrow
from market.candle_files.columns import COLUMNS
from market.candle_files.fast_columns import candles_of, without_collections
from market.candle_files.judge import Judge
from market.candle_files.text_formats import Layout
from market.domain.candle import Candle

Columns = tuple[Sequence[int], Sequence[Sequence[float]]]
"""Times, and five columns of numbers."""


class FastReader:
    """Reads the blocks of one layout; what it does not take is for the csv module to judge."""

    def __init__(self, layout: Layout, judge: Judge) -> None:
        self._judge = judge
        self._columns = _by_arrow(layout) if has_arrow() else _by_csv(layout)
        self._plain = b"0123456789.+-eE \r\n" + layout.delimiter.encode()

    def candles(self, data: bytes) -> list[Candle] | None:
        """The candles of a block of whole lines; None if anything in it may be wrong."""
        # int() and pyarrow take numbers that we refuse, 1_0 and 0x10; of these characters none.
        if data.translate(None, self._plain) or not data.strip():
            return None
        with without_collections():
            try:
                times, values = self._columns(data)
            except ValueError:
                return None
            return candles_of(times, values, self._judge)


def fast_reader(layout: Layout, judge: Judge, data: bytes) -> FastReader | None:
    """A fast reader, if the lines are nothing but numbers.

    `data` are the first lines: they show how many values an array of JSON has.
    """
    width = layout.width or data.split(b"\n", 1)[0].count(b",") + 1
    is_plain = isinstance(layout.at[0], int) and not layout.compact_dates
    if not is_plain or width < len(layout.at):
        return None
    return FastReader(replace(layout, width=width), judge)


def _by_csv(layout: Layout) -> Callable[[bytes], Columns]:
    """Reads columns with the csv module; raises ValueError for what are no numbers."""

    def read(data: bytes) -> Columns:
        lines = csv.reader(data.decode().splitlines(), delimiter=layout.delimiter)
        columns = list(zip(*(row for row in lines if row), strict=True))
        if len(columns) != layout.width:
            raise ValueError("another number of values")
        time, *values = (columns[at] for at in layout.at if isinstance(at, int))
        return list(map(int, time)), [list(map(float, column)) for column in values]

    return read


def _by_arrow(layout: Layout) -> Callable[[bytes], Columns]:
    """Reads columns with pyarrow; raises ValueError for what are no numbers."""
    csv, arrow = pyarrow("pyarrow.csv"), pyarrow()
    names = [f"_{at}" for at in range(layout.width)]
    for name, at in zip(COLUMNS, layout.at, strict=True):
        assert isinstance(at, int)
        names[at] = name
    types = dict.fromkeys(COLUMNS, arrow.float64()) | {COLUMNS[0]: arrow.int64()}
    options: dict[str, Any] = {
        "read_options": csv.ReadOptions(column_names=names, use_threads=False),
        "parse_options": csv.ParseOptions(delimiter=layout.delimiter, quote_char=False),
        # Nothing stands for a missing value: an empty one is an error.
        "convert_options": csv.ConvertOptions(
            column_types=types, include_columns=list(COLUMNS), null_values=[]
        ),
    }

    def read(data: bytes) -> Columns:
        # pyarrow's errors are ValueErrors.
        table = csv.read_csv(arrow.BufferReader(data), **options)
        time, *values = (table.column(name).to_pylist() for name in COLUMNS)
        return time, values

    return read
