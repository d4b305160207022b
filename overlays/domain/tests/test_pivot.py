"""Marks of pivots, against the contract's tables."""

from __future__ import annotations

from overlays.domain.tests.drawing import Drawing, wicks

CANDLES = wicks((11, 9), (12, 9.5), (15, 10), (13, 8), (10, 8.5))


def pivots(names):
    return [name for name in names if name.startswith("pivot.")]


def test_major_mark_shows_the_pivot_with_the_candle_that_confirms_it():
    drawing = Drawing(major=2, minor=1).take(CANDLES)
    assert drawing.at(300)[0] == "pivot.major:180:resistance:2"
    assert drawing.definition("pivot.major:180:resistance:2") == {
        "type": "marker",
        "feature": "pivot.major",
        "time": 180,
        "position": "aboveBar",
        "color": "#ef4444",
        "shape": "circle",
        "text": "",
        "size": 1.0,
    }


def test_minor_mark_is_smaller_and_paler():
    drawing = Drawing(major=2, minor=1).take(CANDLES)
    assert drawing.definition("pivot.minor:240:support:1") == {
        "type": "marker",
        "feature": "pivot.minor",
        "time": 240,
        "position": "belowBar",
        "color": "rgba(34,197,94,0.6)",
        "shape": "circle",
        "text": "",
        "size": 0.5,
    }


def test_pivot_before_its_confirmation_is_not_marked():
    drawing = Drawing(major=2, minor=1).take(CANDLES[:-1])
    assert pivots(change.instruction_id for change in drawing.changes) == []


def test_majors_are_numbered_before_minors():
    drawing = Drawing(major=2, minor=1).take(CANDLES)
    both = ["pivot.major:180:resistance:2", "pivot.minor:240:support:1"]
    assert pivots(drawing.at(300)) == both
