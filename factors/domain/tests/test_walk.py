"""Changes of lists and heads lead from each state to the next."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from factors.domain.values import Slice
from factors.domain.walk import (
    apply_row,
    as_row,
    change_between,
    changed_values,
    spliced,
    splices_between,
    with_values,
)

LISTS = st.lists(st.integers(0, 3), max_size=8)
PLAIN = st.one_of(st.integers(0, 2), st.none(), st.sampled_from(["a", "b"]))
VALUES = st.recursive(
    PLAIN,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.sampled_from("xyz"), inner, max_size=3)
    ),
    max_leaves=6,
)


@given(LISTS, LISTS)
def test_splices_lead_from_one_list_to_the_other(before, after):
    assert spliced(before, splices_between(before, after)) == after


def test_a_window_that_moves_drops_and_adds():
    assert splices_between([1, 2, 3], [2, 3, 4]) == [(0, 1, ()), (2, 0, [4])]
    assert splices_between([1, 2, 3], [1, 2, 3, 4]) == [(3, 0, [4])]
    assert splices_between([1, 2, 3], [3]) == [(0, 2, ())]
    assert splices_between([1, 2, 3], [1, 9, 3]) == [(1, 1, [9])]


@given(VALUES, VALUES)
def test_changed_values_lead_from_one_value_to_the_other(before, after):
    changes = changed_values(before, after)
    if changes is not None:
        assert with_values(before, changes) == after


@given(st.lists(st.tuples(LISTS, st.dictionaries(st.sampled_from("xy"), VALUES)), max_size=5))
def test_rows_lead_from_slice_to_slice(steps):
    before, seen = None, None
    for items, head in steps:
        after = Slice({"items": [{"visible_time": n, "n": n} for n in items]}, head)
        change = change_between(before, after)
        if change is not None:
            seen = apply_row(as_row("f", 60, change, {"f": after}), seen)
        assert seen == after
        before = after


def test_a_head_that_repeats_the_last_item_names_its_list():
    after = Slice({"items": [{"visible_time": 1, "level": 5}]}, {"level": 5})
    row = as_row("f", 60, change_between(None, after), {"f": after})
    assert (row["head_of"], "head" in row) == ("items", False)
    assert apply_row(row, None) == after
