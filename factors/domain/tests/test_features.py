"""Feature columns: names, counts, directions, and rows that know nothing of later candles."""

from __future__ import annotations

import re

import pytest

from factors.domain.engine import Engine
from factors.domain.features import (
    EVENT_COUNT,
    FeatureRow,
    FeatureTable,
    feature_names,
    feature_row,
    feature_rows,
    may_fill,
)
from factors.domain.tests.recordings import MINUTE, engine
from factors.domain.values import Event
from tests.recordings import vector_candles


def event(time, factor, kind, **payload):
    return Event(factor, kind, time, f"{kind}:{time}", payload)


PIVOTS = [
    event(60, "pivot", "pivot.major", direction="resistance"),
    event(60, "pivot", "pivot.minor", direction="support"),
    event(60, "pivot", "pivot.minor", direction="resistance"),
]
PEN = event(60, "pen", "pen.confirmed", direction=-1)


def test_row_counts_events_and_has_the_last_direction():
    assert feature_row(60, [*PIVOTS, PEN]).values == {
        EVENT_COUNT: 4.0,
        "pivot_event_count": 3.0,
        "pivot_major_count": 1.0,
        "pivot_major_direction": "resistance",
        "pivot_minor_count": 2.0,
        "pivot_minor_direction": "resistance",
        "pen_event_count": 1.0,
        "pen_confirmed_count": 1.0,
        "pen_confirmed_direction": -1,
    }


def test_event_without_a_direction_has_no_such_column():
    values = feature_row(60, [event(60, "sr", "sr.snapshot", levels=[])]).values
    assert list(values) == [EVENT_COUNT, "sr_event_count", "sr_snapshot_count"]


def test_candle_without_events_has_an_empty_row():
    assert feature_row(60, []) == FeatureRow(60, {})


@pytest.mark.parametrize(
    ("factor", "kind", "column"),
    [
        ("pen", "pen.confirmed", "pen_confirmed_count"),
        ("box", "box.level.broken", "box_level_broken_count"),
        ("box", "other.broken", "box_other_broken_count"),
        ("EMA-20", "EMA-20.Cross", "ema_20_cross_count"),
        ("5up", "5up.run", "f_5up_run_count"),
    ],
)
def test_names_have_letters_digits_and_underscores(factor, kind, column):
    names = feature_names(factor, kind)
    assert names.kind_count == column
    assert all(re.fullmatch(r"[a-z][a-z0-9_]*", name) for name in names)
    assert all(may_fill(name, factor, [kind]) and may_fill(name, factor, []) for name in names)
    assert not may_fill(column, "another", [])


def test_rows_are_one_a_candle():
    later = event(180, "pen", "pen.confirmed", direction=1)
    elsewhere = event(90, "pen", "pen.confirmed", direction=1)
    rows = list(feature_rows([60, 120, 180], [PEN, elsewhere, later]))
    assert rows == [feature_row(60, [PEN]), FeatureRow(120, {}), feature_row(180, [later])]


def test_columns_are_aligned_and_appear_in_order():
    table = FeatureTable()
    for row in feature_rows([0, 60, 120], [PEN, event(120, "sr", "sr.snapshot")]):
        table.add(row)
    assert table.candle_time == [0, 60, 120]
    assert list(table.columns.items()) == [
        (EVENT_COUNT, [None, 1.0, 1.0]),
        ("pen_event_count", [None, 1.0, None]),
        ("pen_confirmed_count", [None, 1.0, None]),
        ("pen_confirmed_direction", [None, -1, None]),
        ("sr_event_count", [None, None, 1.0]),
        ("sr_snapshot_count", [None, None, 1.0]),
    ]


def test_table_of_named_columns_has_no_others():
    table = FeatureTable(["pen_confirmed_count", "sr_snapshot_count"])
    table.add(feature_row(60, [PEN]))
    assert table.columns == {"pen_confirmed_count": [1.0], "sr_snapshot_count": [None]}


def rows_of(folding: Engine, candles):
    state = folding.initial(MINUTE)
    return [
        feature_row(step.candle_time, step.events)
        for step in (folding.step(state, candle) for candle in candles)
    ]


def test_rows_know_nothing_of_later_candles():
    candles, folding = vector_candles("trimmed"), engine(5, 2)
    rows = rows_of(folding, candles)
    assert sum(bool(row.values) for row in rows) > 50
    for length in range(0, len(candles), 97):
        assert rows_of(folding, candles[:length]) == rows[:length]
