"""The overlay engine: order, versions, saved states."""

from __future__ import annotations

import json

import pytest

from factors.domain.tests.installed import FACTORS
from factors.domain.values import StateError
from overlays.domain.all_renderers import DRAWING_ORDER
from overlays.domain.instruction import WITHDRAWN, box, feature_of, label, line, span_of
from overlays.domain.renderer import FactorStep, Sheet
from overlays.domain.tests.drawing import MINUTE, Drawing, flat
from overlays.domain.tests.installed import RENDERERS, overlay_engine

LINE = {"type": "polyline", "feature": "a.b", "points": []}
LONGER = {"type": "polyline", "feature": "a.b", "points": [{"time": 60, "value": 1.0}]}
CANDLES = flat(11, 10, 20, 14, 18, 15, 17, 16, 16.5, 30, 25, 35, 34)


def no_facts(time):
    return FactorStep(time, (), {}, lambda start, end: [])


def test_every_factor_has_a_renderer_for_exactly_its_features():
    assert {spec.factor: set(spec.features) for spec in RENDERERS} == {
        spec.name: {feature.key for feature in spec.features} for spec in FACTORS
    }


def test_drawing_order_names_known_features_once():
    assert len(set(DRAWING_ORDER)) == len(DRAWING_ORDER)
    assert set(DRAWING_ORDER) <= {feature for spec in RENDERERS for feature in spec.features}


def test_sheet_writes_no_version_for_an_equal_definition():
    sheet = Sheet()
    sheet.draw("a.b:1", LINE)
    sheet.draw("a.b:1", dict(LINE))
    assert [change.definition for change in sheet.take(60, {})] == [LINE]


def test_sheet_writes_a_version_for_a_changed_definition():
    sheet = Sheet({"a.b:1": LINE})
    sheet.draw("a.b:1", LONGER)
    assert [change.definition for change in sheet.take(60, {})] == [LONGER]


def test_sheet_withdraws_only_what_is_drawn():
    sheet = Sheet({"a.b:1": LINE})
    sheet.withdraw("a.b:1")
    sheet.withdraw("a.b:1")
    assert sheet.take(60, {}) == [("a.b:1", "polyline", 60, WITHDRAWN)]


def test_sheet_draws_again_what_was_withdrawn():
    sheet = Sheet({"a.b:1": LINE})
    sheet.withdraw("a.b:1")
    sheet.take(60, {})
    sheet.draw("a.b:1", LINE)
    assert [change.definition for change in sheet.take(120, {})] == [LINE]


def test_sheet_keeps_settled_drawings_out_of_what_is_replaced():
    sheet = Sheet({"a.b:1": LINE, "a.b:2": LINE, "c.d:1": LINE})
    sheet.settle("a.b:1")
    sheet.replace("a", {"a.b:3": LINE})
    assert [change[:2] for change in sheet.take(60, {})] == [
        ("a.b:2", "polyline"),
        ("a.b:3", "polyline"),
    ]


def drawn_at(sheet, time, work):
    """What one candle changed."""
    sheet.time = time
    work(sheet)
    return [change[:3] + (dict(change.definition),) for change in sheet.take(time, {})]


LOOK = line("a.mean", color="blue")


def test_line_begins_with_its_first_point_and_grows_by_points_alone():
    sheet = Sheet()
    drawn = [drawn_at(sheet, time, lambda s: s.extend("a.mean", LOOK, 1.5)) for time in (60, 120)]
    assert drawn == [
        [("a.mean", "line", 60, {**LOOK, "start": 60}), ("a.mean", "point", 60, {"value": 1.5})],
        [("a.mean", "point", 120, {"value": 1.5})],
    ]


def test_line_of_another_look_keeps_its_start_and_gets_its_version_before_the_point():
    sheet = Sheet({"a.mean": {**LOOK, "start": 60}})
    thick = line("a.mean", color="blue", width=3)
    assert drawn_at(sheet, 120, lambda s: s.extend("a.mean", thick, 2.0)) == [
        ("a.mean", "line", 120, {**thick, "start": 60}),
        ("a.mean", "point", 120, {"value": 2.0}),
    ]


def test_line_that_was_withdrawn_begins_anew():
    sheet = Sheet({"a.mean": {**LOOK, "start": 60}})
    assert drawn_at(sheet, 120, lambda s: s.withdraw("a.mean")) == [("a.mean", "line", 120, {})]
    (version, _) = drawn_at(sheet, 180, lambda s: s.extend("a.mean", LOOK, 1.0))
    assert version[3]["start"] == 180


def test_line_that_ended_stays_and_is_ended_once():
    sheet = Sheet({"a.mean": {**LOOK, "start": 60}})
    ended = {**LOOK, "start": 60, "end": 120}
    assert drawn_at(sheet, 120, lambda s: s.end("a.mean")) == [("a.mean", "line", 120, ended)]
    assert drawn_at(sheet, 180, lambda s: s.end("a.mean")) == []


def test_lines_are_not_withdrawn_when_other_drawings_are_replaced():
    sheet = Sheet({"a.mean": {**LOOK, "start": 60}, "a.b:1": LINE})
    assert drawn_at(sheet, 120, lambda s: s.replace("a", {})) == [("a.b:1", "polyline", 120, {})]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_line_has_no_point_that_is_not_finite(value):
    with pytest.raises(ValueError, match="no point"):
        Sheet().extend("a.mean", LOOK, value)


def test_line_has_one_point_a_candle():
    sheet = Sheet(time=60)
    sheet.extend("a.mean", LOOK, 1.0)
    with pytest.raises(ValueError, match="already"):
        sheet.extend("a.mean", LOOK, 2.0)


def test_box_and_label_cover_the_times_they_are_drawn_at():
    area = box("a.box", (120, 3.0), (60, 5.0), color="violet")
    assert (area["start"], area["end"], area["top"], area["bottom"]) == (60, 120, 5.0, 3.0)
    assert span_of(area) == (60, 120)
    assert span_of({**area, "extendRight": True}) == (60, None)
    assert span_of(label("a.text", (60, 1.0), "here", color="text")) == (60, 60)


def test_changes_of_a_candle_come_in_drawing_order():
    at_death = map(feature_of, Drawing().take(CANDLES).at(780))
    assert [feature for feature in at_death if feature in DRAWING_ORDER] == [
        "pivot.major",
        "pen.confirmed",
        "zhongshu.dead",
        "zhongshu.dead",
        "zhongshu.alive",
        "zhongshu.alive",
        "pen.extending",
        "pen.candidate",
    ]


def test_candle_not_after_the_head_is_refused():
    engine = overlay_engine()
    state = engine.initial(MINUTE)
    engine.step(state, no_facts(60))
    with pytest.raises(ValueError, match="60 is not after 60"):
        engine.step(state, no_facts(60))


def test_state_survives_being_dumped():
    drawing = Drawing().take(CANDLES)
    data = drawing.overlays.dump(drawing.state)
    again = drawing.overlays.restore(data, None)
    assert drawing.overlays.dump(again) == data
    assert again.head_time == 780


def test_state_of_another_window_is_refused():
    data = overlay_engine(300).dump(overlay_engine(300).initial(MINUTE))
    with pytest.raises(StateError, match="other renderers"):
        overlay_engine(301).restore(data, None)


def test_state_that_is_no_state_is_refused():
    engine = overlay_engine()
    with pytest.raises(StateError, match="not readable"):
        engine.restore(b"{", None)
    with pytest.raises(StateError, match="another format"):
        engine.restore(json.dumps({"format": 0}).encode(), None)
