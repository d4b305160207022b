"""Blocks of lines as candles by pyarrow's CSV reader, for blocks in which nothing is wrong."""

from __future__ import annotations

from dataclasses import replace

from market.candle_files.arrow import has_arrow, pyarrow
from market.candle_files.columns import COLUMNS
from market.candle_files.fast_columns import candles_of
from market.candle_files.judge import Judge
from market.candle_files.text_formats import Layout
from market.domain.candle import Candle


class FastReader:
    """Reads the blocks of one layout; what it does not take is for the csv module to judge."""

    def __init__(self, layout: Layout, judge: Judge) -> None:
        csv = pyarrow("pyarrow.csv")
        arrow = pyarrow()
        self._judge = judge
        self._read = csv.read_csv
        self._plain = b"0123456789.+-eE \r\n" + layout.delimiter.encode()
        names = [f"_{at}" for at in range(layout.width)]
        for name, at in zip(COLUMNS, layout.at, strict=True):
            assert isinstance(at, int)
            names[at] = name
        types = dict.fromkeys(COLUMNS, arrow.float64()) | {COLUMNS[0]: arrow.int64()}
        self._options = {
            "read_options": csv.ReadOptions(column_names=names, use_threads=False),
            "parse_options": csv.ParseOptions(delimiter=layout.delimiter, quote_char=False),
            # Nothing stands for a missing value: an empty one is an error.
            "convert_options": csv.ConvertOptions(
                column_types=types, include_columns=list(COLUMNS), null_values=[]
            ),
        }
        self._errors = (arrow.ArrowInvalid, arrow.ArrowTypeError)

    def candles(self, data: bytes) -> list[Candle] | None:
        """The candles of a block of whole lines; None if anything in it may be wrong."""
        # pyarrow takes numbers that we refuse, 0x10 for one; with these characters it does not.
        if data.translate(None, self._plain) or not data.strip():
            return None
        arrow = pyarrow()
        try:
            table = self._read(arrow.BufferReader(data), **self._options)
        except self._errors:
            return None
        return candles_of([table.column(name) for name in COLUMNS], self._judge)


def fast_reader(layout: Layout, judge: Judge, data: bytes) -> FastReader | None:
    """A fast reader, if pyarrow is installed and the lines are nothing but numbers.

    `data` are the first lines: they show how many values an array of JSON has.
    """
    width = layout.width or data.split(b"\n", 1)[0].count(b",") + 1
    is_plain = isinstance(layout.at[0], int) and not layout.compact_dates
    if not is_plain or width < len(layout.at) or not has_arrow():
        return None
    return FastReader(replace(layout, width=width), judge)
