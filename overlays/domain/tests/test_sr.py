"""Level lines, on the worked example of the factor contract's section 11.10."""

from __future__ import annotations

from overlays.domain.renderer import FactorStep, Sheet
from overlays.domain.sr import SPEC
from overlays.domain.tests.drawing import Drawing, flat

# Resistance 20 is seen at 180 and 300, flips at 420 and is broken at 540.
CANDLES = flat(12, 10, 20, 12, 20, 13, 30, 12, 31, 13)
RESISTANCE = "sr.active:resistance:20.00000000:180"


def test_active_level_extends_right_from_its_first_touch():
    drawing = Drawing().take(CANDLES[:6])
    assert drawing.definition(RESISTANCE) == {
        "type": "polyline",
        "feature": "sr.active",
        "points": [{"time": 180, "value": 20.0}, {"time": 300, "value": 20.0}],
        "color": "#ef4444",
        "lineWidth": 2,
        "extendRight": True,
    }


def test_flip_changes_nothing_on_the_chart():
    drawing = Drawing().take(CANDLES[:8])
    assert drawing.heads["sr"]["levels"][1]["status"] == "flip"
    assert drawing.at(420, RESISTANCE) == drawing.at(480, RESISTANCE) == []


def test_support_is_green():
    drawing = Drawing().take(CANDLES[:7])
    assert drawing.definition("sr.active:support:13.00000000:240")["color"] == "#22c55e"


def test_broken_level_is_withdrawn_and_drawn_to_its_death():
    drawing = Drawing().take(CANDLES[:9])
    assert drawing.definition(RESISTANCE) == {}
    assert drawing.definition("sr.broken:resistance:20.00000000:180") == {
        "type": "polyline",
        "feature": "sr.broken",
        "points": [{"time": 180, "value": 20.0}, {"time": 540, "value": 20.0}],
        "color": "rgba(148,163,184,0.6)",
        "lineWidth": 1,
        "lineStyle": "dashed",
    }


def test_level_not_in_the_newest_snapshot_is_withdrawn():
    drawing = Drawing().take(CANDLES[:9])
    assert drawing.definition("sr.active:support:13.00000000:240") == {}
    assert drawing.line("sr.active:support:13.00000000:360") == [(360, 13.0), (480, 13.0)]


def test_level_without_a_price_above_zero_is_not_drawn():
    level = {"price": 0.0, "status": "active", "level_type": "support"}
    event = (
        Drawing()
        .take(CANDLES[:3])
        .events[0]
        ._replace(kind="sr.snapshot", payload={"levels": [level]})
    )
    sheet = Sheet()
    SPEC.step(None, FactorStep(180, [event], {}, lambda start, end: []), sheet)
    assert sheet.changed == []
