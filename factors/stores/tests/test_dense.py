"""Packed texts: unpacked as they were, whatever they are, and far smaller."""

from __future__ import annotations

import base64
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from factors.stores.dense import (
    DICTIONARIES,
    LONG,
    WrongPrevious,
    depth_of,
    packed,
    packed_behind,
    unpacked,
    unpacked_behind,
)
from tests.examples import examples

LONG_TEXTS = st.text("012,{}", min_size=1, max_size=20).map(lambda text: text * LONG)
TEXTS = st.text(st.characters(codec="utf-8")) | LONG_TEXTS
PIVOT = (
    '{"pivot_time":1600353120,"pivot_price":38680.69,"direction":"resistance",'
    '"visible_time":1600356120,"window":50,"pivot_idx":5885}'
)


@examples(20)
@given(TEXTS, st.lists(st.integers() | TEXTS, max_size=3))
def test_text_is_unpacked_as_it_was(text, row):
    data = packed(text, *row)
    assert unpacked(memoryview(data), *row) == text
    assert depth_of(data) == 0


OBJECTS = st.sampled_from(["1,2", "1,3", "2,2", "2", "3,1,1", "é"])
LISTS = st.lists(OBJECTS, max_size=12).map("},{".join)


@examples(5)
@given(LISTS, LISTS)
def test_list_behind_another_is_unpacked_as_it_was(text, previous):
    assert unpacked_behind(packed_behind(text, previous, 1), previous) == text


@examples(20)
@given(TEXTS, TEXTS)
def test_text_behind_another_is_unpacked_as_it_was(text, previous):
    data = packed_behind(text, previous, 3)
    assert unpacked_behind(memoryview(data), previous) == text
    assert depth_of(data) == 3
    with pytest.raises(WrongPrevious):
        unpacked_behind(data, previous + "x")


def test_usual_payload_takes_a_quarter():
    assert len(packed(f"major:1600353120:resistance:50\n{PIVOT}", 1600356120)) <= len(PIVOT) / 2.5


def test_released_dictionary_is_unchanged():
    # Stored rows can be read with this one only. Add another instead of changing it.
    assert hashlib.sha256(DICTIONARIES[1]).hexdigest() == (
        "cfe1e0ac52e47908a0a6530f7367183435fee626f41dda2c5e7f2fd41e21db91"
    )


def test_object_that_changed_in_a_long_list_is_all_that_is_packed():
    levels = [f'{{"price":{n}.5,"touches":{list(range(n, n + 700))}' for n in range(20)]
    previous = "},".join(levels)
    text = previous.replace('"price":7.5,', '"price":7.5,"status":"broken",')
    assert len(text) > 2 * 32_768
    data = packed_behind(text, previous, 1)
    assert unpacked_behind(data, previous) == text
    assert len(data) < 100
    text = previous.replace('"touches"', '"status":"broken","touches"')
    assert unpacked_behind(packed_behind(text, previous, 1), previous) == text


def test_stored_difference_is_unpacked():
    previous = '[{"price":1.5,"touches":[1,2]},{"price":2.5,"touches":[3]},{"price":3.5}]'
    text = '[{"price":1.5,"touches":[1,2]},{"price":2.5,"touches":[3,4]},{"price":3.5},{"price":9}]'
    data = base64.b64decode("/wNzsP25AAAABwOJwLhWBgBTwqFQxwRdKYJnWRsLAA==")
    assert unpacked_behind(data, previous) == text
    assert depth_of(data) == 3
