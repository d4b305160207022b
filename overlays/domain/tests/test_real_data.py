"""Recorded exchange candles drawn whole."""

from __future__ import annotations

from collections import Counter

import pytest

from market.domain.timeframe import Timeframe
from overlays.domain.instruction import feature_of
from overlays.domain.tests.drawing import Drawing
from tests.recordings import recorded_candles, vector_json

# The bound is of these; a line of another factor alone has a point a candle.
CONTRACTED = {entry["key"] for entry in vector_json("catalog.json")["factors"]}
RECORDED = [("BTC_USDT-5m", "5m"), ("DOGE_USDT-1m", "1m"), ("XRP_ETH-1m-with-gaps", "1m")]


@pytest.mark.parametrize(("name", "timeframe"), RECORDED)
def test_versions_per_candle_stay_below_three_on_average(name, timeframe):
    candles = recorded_candles(name)
    drawing = Drawing(major=50, minor=5, timeframe=Timeframe.parse(timeframe)).take(candles)
    features = Counter(feature_of(change.instruction_id) for change in drawing.changes)
    total = sum(count for name, count in features.items() if name.partition(".")[0] in CONTRACTED)
    print(f"{name}: {total / len(candles):.3f} versions a candle", dict(features))
    assert total < 3 * len(candles)


@pytest.mark.parametrize(("name", "timeframe"), RECORDED)
def test_integrity_holds_on_recorded_candles(name, timeframe):
    drawing = Drawing(major=50, minor=5, timeframe=Timeframe.parse(timeframe))
    for position, candle in enumerate(recorded_candles(name)[:6000]):
        changes = drawing.step(candle)
        if changes and position % 5 == 0:
            assert drawing.mismatches(window=500) == []
