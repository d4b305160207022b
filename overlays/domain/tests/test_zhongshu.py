"""The edges of zhongshus, on the worked example of the factor contract's section 10.4."""

from __future__ import annotations

from overlays.domain.tests.drawing import Drawing, flat

# A zone of 15..18 from 120 on forms at 480 and dies at 780.
CANDLES = flat(11, 10, 20, 14, 18, 15, 17, 16, 16.5, 30, 25, 35, 34)
DEAD_TOP = "zhongshu.dead:120:720:18.000000:15.000000:top"
DEAD_BOTTOM = "zhongshu.dead:120:720:18.000000:15.000000:bottom"


def test_living_zone_is_two_edges_that_extend_right():
    drawing = Drawing().take(CANDLES[:8])
    assert drawing.at(480, "zhongshu.") == ["zhongshu.alive:top", "zhongshu.alive:bottom"]
    assert drawing.definition("zhongshu.alive:top") == {
        "type": "polyline",
        "feature": "zhongshu.alive",
        "points": [{"time": 120, "value": 18.0}, {"time": 480, "value": 18.0}],
        "color": "rgba(22,163,74,0.72)",
        "lineWidth": 2,
        "entryDirection": 1,
        "extendRight": True,
    }
    assert drawing.line("zhongshu.alive:bottom") == [(120, 15.0), (480, 15.0)]


def test_living_zone_needs_one_version_however_long_it_lives():
    drawing = Drawing().take(CANDLES[:-1])
    assert [drawing.at(time, "zhongshu.") for time in range(540, 780, 60)] == [[]] * 4


def test_death_draws_the_dead_edges_and_withdraws_the_living_ones():
    drawing = Drawing().take(CANDLES)
    assert drawing.at(780, "zhongshu.") == [
        DEAD_TOP,
        DEAD_BOTTOM,
        "zhongshu.alive:top",
        "zhongshu.alive:bottom",
    ]
    assert drawing.definition("zhongshu.alive:top") == {}
    assert drawing.definition(DEAD_TOP) == {
        "type": "polyline",
        "feature": "zhongshu.dead",
        "points": [{"time": 120, "value": 18.0}, {"time": 720, "value": 18.0}],
        "color": "rgba(74,222,128,0.58)",
        "lineWidth": 2,
        "entryDirection": 1,
    }
    assert drawing.line(DEAD_BOTTOM) == [(120, 15.0), (720, 15.0)]


def test_falling_entry_is_red():
    mirrored = [40 - candle.close for candle in CANDLES]
    drawing = Drawing().take(flat(*mirrored))
    assert drawing.definition("zhongshu.dead:120:720:25.000000:22.000000:top") == {
        "type": "polyline",
        "feature": "zhongshu.dead",
        "points": [{"time": 120, "value": 25.0}, {"time": 720, "value": 25.0}],
        "color": "rgba(248,113,113,0.58)",
        "lineWidth": 2,
        "entryDirection": -1,
    }
