"""The line of confirmed pens and the strokes of the head."""

from __future__ import annotations

from overlays.domain.tests.drawing import Drawing, flat, wicks

# Pens 120->180, 180->240, 240->300 confirmed at 300, 360 and 420.
ZIGZAG = flat(12, 10, 20, 14, 18, 15, 17)


def test_line_joins_the_confirmed_pens():
    drawing = Drawing().take(ZIGZAG)
    assert drawing.line("pen.confirmed") == [(120, 10.0), (180, 20.0), (240, 14.0), (300, 18.0)]


def test_line_begins_with_the_first_pen():
    drawing = Drawing().take(ZIGZAG[:5])
    assert drawing.definition("pen.confirmed") == {
        "type": "polyline",
        "feature": "pen.confirmed",
        "points": [{"time": 120, "value": 10.0}, {"time": 180, "value": 20.0}],
        "color": "#ffffff",
        "lineWidth": 2,
    }


def test_line_keeps_its_version_while_no_pen_is_confirmed():
    drawing = Drawing().take(flat(12, 10, 20, 14, 18, 18.5, 18.6, 18.7))
    assert [drawing.at(time, "pen.confirmed") for time in (300, 360, 420, 480)] == [
        ["pen.confirmed"],
        [],
        [],
        [],
    ]


def test_line_drops_a_pen_with_the_candle_that_leaves_its_end_behind():
    # With three candles of window, the end at 180 is inside up to the candle at 360.
    drawing = Drawing(window=3).take(flat(12, 10, 20, 14, 18, 18.5))
    assert drawing.line("pen.confirmed") == [(120, 10.0), (180, 20.0)]
    drawing.step(flat(12, 10, 20, 14, 18, 18.5, 18.6)[-1])
    assert drawing.definition("pen.confirmed") == {}


def test_line_starts_with_the_oldest_pen_that_ends_inside_the_window():
    drawing = Drawing(window=3).take(ZIGZAG)
    assert drawing.line("pen.confirmed") == [(180, 20.0), (240, 14.0), (300, 18.0)]


def test_pens_sharing_a_candle_keep_both_of_its_prices():
    # The candle at 180 is resistance and support at once: it turns the line within itself.
    drawing = Drawing().take(wicks((5, 5), (5, 3), (9, 1), (6, 4), (7, 5), (6.5, 4.5), (6.4, 4.6)))
    assert (180, 9.0) in drawing.line("pen.confirmed")
    assert (180, 1.0) in drawing.line("pen.confirmed")


def test_strokes_are_the_head_of_the_pen():
    drawing = Drawing().take(ZIGZAG)
    assert drawing.line("pen.extending") == [(300, 18.0), (360, 15.0)]
    assert drawing.line("pen.candidate") == [(360, 15.0), (420, 17.0)]
    assert drawing.definition("pen.candidate")["lineStyle"] == "dashed"


def test_candidate_is_withdrawn_when_the_extending_stroke_reaches_the_newest_candle():
    drawing = Drawing().take(flat(12, 10, 20, 14, 18))
    assert drawing.line("pen.candidate") == [(240, 14.0), (300, 18.0)]
    drawing.step(wicks(*[(0, 0)] * 5, (19, 5))[-1])
    assert drawing.line("pen.extending") == [(180, 20.0), (360, 5.0)]
    assert drawing.definition("pen.candidate") == {}


def test_strokes_without_a_confirmed_pen_are_not_drawn():
    assert Drawing().take(ZIGZAG[:4]).at(240, "pen.") == []
