"""The fast reader, with pyarrow and without: it takes what is right, and nothing else."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from market.candle_files import fast_blocks
from market.candle_files.columns import COLUMNS, CSV_HEADER
from market.candle_files.fast_blocks import FastReader
from market.candle_files.judge import Judges, Rules
from market.candle_files.reading import read
from market.candle_files.refusals import FileRefused, Refusals
from market.candle_files.text_formats import Layout
from market.domain.series import SeriesId

SERIES = SeriesId.parse("x:spot:A/B:1m")
NOW = 1_800_000_000
LAYOUT = Layout(name="csv", at=(0, 1, 2, 3, 4, 5), width=len(COLUMNS))

TAKEN = {
    "seconds": b"60,1,2,0.5,1.5,10\n120,1.0,2e0,0.5,1.5,0\n",
    "microseconds": b"1700000100000000,1,2,0.5,1.5,10\n",
    "spaces": b"60, 1, 2, 0.5 , 1.5,10\n",
    "CRLF and blank lines": b"60,1,2,0.5,1.5,10\r\n\r\n120,1,2,0.5,1.5,10\r\n",
}
LEFT = {
    "hexadecimal": b"0x3c,1,2,0.5,1.5,10\n",
    "no number": b"60,nan,2,0.5,1.5,10\n",
    "empty": b"60,,2,0.5,1.5,10\n",
    "too large": b"60,1,2e999,0.5,1.5,10\n",
    "another unit": b"60,1,2,0.5,1.5,10\n1700000100000,1,2,0.5,1.5,10\n",
    "off the grid": b"61,1,2,0.5,1.5,10\n",
    "open": b"1800000000,1,2,0.5,1.5,10\n",
    "impossible": b"60,1,2,1.2,1.5,10\n",
    "zeros": b"60,0,0,0,0,0\n",
}


@pytest.fixture(params=["pyarrow", "csv"])
def has_arrow(request, monkeypatch):
    """Read with pyarrow, and without it."""
    if request.param == "csv":
        monkeypatch.setattr(fast_blocks, "has_arrow", lambda: False)


def fast(data):
    return FastReader(LAYOUT, Judges(SERIES, Rules(now=NOW)).only()).candles(data)


@pytest.mark.usefixtures("has_arrow")
@pytest.mark.parametrize("name", TAKEN)
def test_block_without_a_fault_is_taken(name):
    assert fast(TAKEN[name])


@pytest.mark.usefixtures("has_arrow")
@pytest.mark.parametrize("name", LEFT)
def test_block_with_a_fault_is_left_to_be_judged_row_by_row(name):
    assert fast(LEFT[name]) is None


def result(content):
    """What is read of a file, and what is wrong with it."""
    refusals = Refusals(continues=True)
    try:
        rows = list(
            read(io.BytesIO(content), Judges(SERIES, Rules(now=NOW), refusals=refusals)).rows
        )
    except FileRefused as error:
        return str(error)
    return [repr(rows), str(refusals.first), refusals.reasons]


times = st.sampled_from(["0", "60", "120", "61", "60.0", "1700000100000", "-60", "+60", "0060", ""])
numbers = st.one_of(
    st.floats(0.5, 2).map(repr),
    st.sampled_from(
        ["1", "1.", ".5", "+1", "-0.0", "1e0", "1e", "0x1", "1_0", "nan", "", " 1", "1 "]
    ),
)
rows = st.tuples(times, numbers, st.just("2"), st.just("0.1"), numbers, numbers).map(",".join)
ends = st.sampled_from(["\n", "\r\n", "\n\n", "\n \n"])


@given(st.lists(st.tuples(rows, ends), min_size=1, max_size=4))
def test_all_readers_read_the_same_and_refuse_the_same(lines):
    content = (f"{CSV_HEADER}\n" + "".join(row + end for row, end in lines)).encode()
    with_arrow = result(content)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fast_blocks, "has_arrow", lambda: False)
        without_arrow = result(content)
        patch.setattr(FastReader, "candles", lambda reader, data: None)
        assert result(content) == without_arrow == with_arrow
