"""Text in blocks of whole lines, and arrays of JSON as lines."""

from __future__ import annotations

import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from market.candle_files.refusals import FileRefused
from market.candle_files.text_blocks import BLOCK_BYTES, MAX_LINE_BYTES, blocks, json_lines, pieces


def cut(content, size):
    return [content[at : at + size] for at in range(0, len(content), size)]


@given(
    st.lists(st.sampled_from(["", "1,2", "x" * 9]), max_size=9), st.integers(1, 12), st.booleans()
)
def test_blocks_hold_all_lines_with_their_numbers(lines, size, is_terminated):
    content = "\n".join(lines).encode() + b"\n" * is_terminated
    found = list(blocks(cut(content, size)))
    assert b"".join(block.data for block in found).rstrip() == content.rstrip()
    line = 1
    for block in found:
        assert block.first == line
        assert block.data.endswith(b"\n") is block.is_terminated
        line += block.data.count(b"\n")


def test_line_that_crosses_blocks_stays_whole():
    line = b"1" * 100 + b"\n"
    content = line * (BLOCK_BYTES // 50)
    found = list(blocks(pieces(io.BytesIO(content))))
    assert len(found) > 1
    assert found[1].first == found[0].data.count(b"\n") + 1
    assert all(len(block.data) % len(line) == 0 for block in found)


def test_endless_line_is_refused_before_it_fills_the_memory():
    with pytest.raises(FileRefused, match="long_line"):
        list(blocks(iter([b"1" * MAX_LINE_BYTES, b"1"])))
    with pytest.raises(FileRefused, match="bad_json"):
        list(json_lines(iter([b"[[1,", b"1" * MAX_LINE_BYTES])))


numbers = st.one_of(st.integers(), st.floats(allow_nan=False))
arrays = st.lists(st.lists(numbers, min_size=1, max_size=6), max_size=5)


@given(arrays, st.integers(1, 20), st.sampled_from([None, 1]))
def test_arrays_of_json_become_lines_wherever_they_are_cut(rows, size, indent):
    lines = b"".join(json_lines(cut(json.dumps(rows, indent=indent).encode(), size)))
    found = [json.loads(f"[{line}]") for line in lines.decode().splitlines()]
    assert found == rows
