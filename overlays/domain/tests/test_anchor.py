"""Anchors, on the worked examples of the factor contract's section 10.4 and cases beside them."""

from __future__ import annotations

from overlays.domain.tests.drawing import Drawing, flat, wicks

# Switches at 300 (confirmed 120->180) and at 660 (candidate 480->600).
CANDLES = flat(11, 10, 20, 14, 18, 15, 17, 16, 16.5, 30, 25, 35, 34)
FIRST = "anchor.history:300:120:180:1"


def test_switch_is_marked_with_an_arrow_of_the_new_direction():
    drawing = Drawing().take(CANDLES[:5])
    assert drawing.definition("anchor.switch:300:1:strong_pen") == {
        "type": "marker",
        "feature": "anchor.switch",
        "time": 300,
        "position": "belowBar",
        "color": "#f59e0b",
        "shape": "arrowUp",
        "text": "A",
        "size": 1.0,
    }


def test_switch_to_a_falling_pen_points_down():
    drawing = Drawing().take(flat(*(40 - candle.close for candle in CANDLES[:5])))
    mark = drawing.definition("anchor.switch:300:-1:strong_pen")
    assert (mark["position"], mark["shape"]) == ("aboveBar", "arrowDown")


def test_anchor_on_a_confirmed_pen_is_solid():
    drawing = Drawing().take(CANDLES[:5])
    assert drawing.definition("anchor.current") == {
        "type": "polyline",
        "feature": "anchor.current",
        "points": [{"time": 120, "value": 10.0}, {"time": 180, "value": 20.0}],
        "color": "#f59e0b",
        "lineWidth": 2,
    }


def test_anchor_on_a_candidate_is_dashed_until_its_pen_is_confirmed():
    drawing = Drawing().take(CANDLES[:11])
    assert drawing.line("anchor.current") == [(480, 16.0), (600, 30.0)]
    assert drawing.definition("anchor.current")["lineStyle"] == "dashed"
    drawing.step(CANDLES[11])
    assert drawing.line("anchor.current") == [(480, 16.0), (600, 30.0)]
    assert "lineStyle" not in drawing.definition("anchor.current")


def test_anchor_that_was_left_becomes_history_with_the_candle_that_left_it():
    drawing = Drawing().take(CANDLES[:11])
    assert drawing.at(300, "anchor.history") == []
    assert drawing.at(660, "anchor.history") == [FIRST]
    assert drawing.definition(FIRST) == {
        "type": "polyline",
        "feature": "anchor.history",
        "points": [{"time": 120, "value": 10.0}, {"time": 180, "value": 20.0}],
        "color": "rgba(59,130,246,0.55)",
        "lineWidth": 1,
    }


def test_of_two_switches_at_one_candle_only_the_last_leaves_history():
    # At 600: to the entry 240->300 of a zone, then to the candidate 480->540.
    drawing = Drawing().take(flat(31, 30, 60, 55, 70, 62, 66, 63, 100, 80, 150, 20, 30))
    assert drawing.at(600, "anchor.switch") == [
        "anchor.switch:600:1:zhongshu_entry",
        "anchor.switch:600:1:strong_pen",
    ]
    history = [name for name in drawing.versions_ids() if name.startswith("anchor.history")]
    assert not any(":240:300:" in name for name in history)


def test_anchor_left_after_many_pens_still_becomes_history():
    # The zone of 47..53 holds the anchor at its entry 120->180 until the rise from 49 at 840.
    drawing = Drawing().take(
        flat(31, 30, 60, 45, 55, 46, 54, 47, 53, 48, 52, 48.5, 51, 49, 100, 99)
    )
    assert len([event for event in drawing.events if event.kind == "pen.confirmed"]) > 8
    assert drawing.heads["anchor"]["current_anchor_ref"]["start_time"] == 840
    assert drawing.line(FIRST) == [(120, 30.0), (180, 60.0)]


def test_anchor_returned_to_is_no_history_until_it_is_left_again():
    # At 300 to 120->180, at 360 to the fall from 180, at 600 back as a zone's entry, at 720 away.
    drawing = Drawing().take(flat(31, 30, 60, 55, 55, 20, 40, 35, 38, 36, 5, 6))
    fall = "anchor.history:360:180:360:-1"
    assert drawing.at(360, "anchor.history") == [FIRST]
    assert drawing.at(600, "anchor.history") == [FIRST, fall]
    assert drawing.at(720, "anchor.history") == [FIRST]
    ended = {
        (change.visible_time, change.instruction_id)
        for change in drawing.changes
        if not change.definition
    }
    assert (600, FIRST) in ended and (720, FIRST) not in ended
    assert drawing.line(FIRST) == [(120, 30.0), (180, 60.0)]
    assert drawing.line(fall) == [(180, 60.0), (360, 20.0)]


def test_candidate_against_the_last_pen_is_read_from_its_candle_when_no_stroke_shows_it():
    # The support 12.6 at 420 lies above the resistance 12 at 240, so the pen between them rises,
    # and the anchor's candidate falls from 420 while the head's stroke rises from there.
    drawing = Drawing().take(
        wicks(
            (8, 7), (7, 5), (9, 8), (12, 10), (11, 10.5), (14, 12.8), (15, 12.6), (16, 13.2),
            (15.5, 13.1), (15.4, 0.5),
        )
    )  # fmt: skip
    assert drawing.heads["anchor"]["current_anchor_ref"] == {
        "kind": "candidate",
        "start_time": 420,
        "end_time": 600,
        "direction": -1,
    }
    assert drawing.reads == [600]
    assert drawing.line("anchor.current") == [(420, 12.6), (600, 0.5)]
    assert drawing.definition("anchor.current")["lineStyle"] == "dashed"
