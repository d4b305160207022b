"""The integrity check: silent when the ledgers agree, and loud when they do not."""

from __future__ import annotations

import pytest

from overlays.domain.instruction import WITHDRAWN, Change
from overlays.domain.tests.drawing import MINUTE, Drawing, flat
from tests.recordings import vector_candles, vector_json

# A zone lives from 480 to 780, the anchor moves at 660.
CANDLES = flat(11, 10, 20, 14, 18, 15, 17, 16, 16.5, 30, 25, 35, 34)


def checks(drawing, window=2000):
    return [check.plugin for check in drawing.mismatches(window=window)]


def spoil(drawing, instruction_id, definition):
    now = drawing.times[-1]
    change = Change(instruction_id, "polyline", now, definition)
    drawing.versions.append(len(drawing.versions) + 1, change)


@pytest.mark.parametrize("window", [1, 2, 5, 2000])
def test_integrity_holds_after_every_candle_in_every_window(window):
    drawing = Drawing()
    for candle in [*CANDLES, *(candle._replace(candle_time=1800) for candle in CANDLES[:1])]:
        drawing.step(candle)
        assert checks(drawing, window) == []


def test_integrity_misses_the_current_anchor():
    drawing = Drawing().take(CANDLES)
    spoil(drawing, "anchor.current", WITHDRAWN)
    assert checks(drawing) == ["anchor.current.start"]


def test_integrity_sees_an_anchor_drawn_elsewhere():
    drawing = Drawing().take(CANDLES)
    moved = drawing.definition("anchor.history:300:120:180:1")
    spoil(drawing, "anchor.current", moved)
    assert checks(drawing) == ["anchor.current.start"]


def test_integrity_misses_an_edge_of_a_dead_zone():
    drawing = Drawing().take(CANDLES)
    spoil(drawing, "zhongshu.dead:120:720:18.000000:15.000000:top", WITHDRAWN)
    assert checks(drawing) == ["zhongshu.signature"]


def test_integrity_does_not_miss_a_zone_outside_the_window():
    drawing = Drawing().take(CANDLES)
    spoil(drawing, "zhongshu.dead:120:720:18.000000:15.000000:top", WITHDRAWN)
    drawing.step(CANDLES[-1]._replace(candle_time=60 * 20))
    assert checks(drawing, window=5) == []


def test_integrity_sees_a_living_zone_that_should_be_gone():
    drawing = Drawing().take(CANDLES[:-1])
    alive = drawing.definition("zhongshu.alive:top")
    drawing.step(CANDLES[-1])
    spoil(drawing, "zhongshu.alive:top", alive)
    assert checks(drawing) == ["zhongshu.signature"]


def test_integrity_sees_a_living_edge_at_another_price():
    drawing = Drawing().take(CANDLES[:8])
    spoil(drawing, "zhongshu.alive:top", drawing.definition("zhongshu.alive:bottom"))
    assert checks(drawing) == ["zhongshu.signature"]


def test_integrity_holds_at_every_candle_of_the_micro_cases():
    for case in vector_json("micro_cases.json")["cases"]:
        windows = case["params"]
        drawing = Drawing(major=windows["pivot_window_major"], minor=windows["pivot_window_minor"])
        for row in case["candles"]:
            drawing.step(CANDLES[0]._make(row))
            assert checks(drawing) == [], case["name"]


@pytest.mark.parametrize(("name", "timeframe"), [("p1", "1m"), ("p2", "5m")])
@pytest.mark.parametrize("window", [300, 2000])
def test_integrity_holds_at_every_candle_of_the_vectors(name, timeframe, window):
    drawing = Drawing(major=50, minor=5, timeframe=MINUTE.parse(timeframe))
    for candle in vector_candles(name):
        drawing.step(candle)
        assert checks(drawing, window) == []
