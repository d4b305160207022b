"""Recorded markets, whole: what must hold whatever the prices did."""

from itertools import pairwise

import pytest

from factors.domain.tests.recordings import engine
from market.domain.timeframe import Timeframe
from tests.recordings import recorded_candles

MARKETS = [
    ("BTC_USDT-5m", "5m", 50),
    ("DOGE_USDT-1m", "1m", 50),
    ("XRP_ETH-1m-with-gaps", "1m", 3),
]


@pytest.fixture(params=MARKETS, ids=lambda market: market[0])
def events(request):
    name, timeframe, window = request.param
    candles = recorded_candles(name)
    folding = engine(window, 3)
    state = folding.initial(Timeframe.parse(timeframe))
    found = [event for result in folding.fold(state, candles) for event in result.events]
    assert state.count == len(candles)
    return found


def of(events, kind):
    return [event.payload for event in events if event.kind == kind]


def test_recorded_market_keeps_the_promises_of_every_factor(events):
    assert len({(event.factor, event.event_key) for event in events}) == len(events)
    times = [event.candle_time for event in events]
    assert times == sorted(times)
    pens = of(events, "pen.confirmed")
    assert len(pens) > 20
    for before, after in pairwise(pens):
        assert before["end_time"] == after["start_time"]
        assert before["end_price"] == after["start_price"]
    for pen in pens:
        # By prices, not by kinds of pivots: in a steep market two neighbours may both rise.
        assert pen["direction"] == (1 if pen["end_price"] > pen["start_price"] else -1)
    dead = of(events, "zhongshu.dead")
    assert dead
    for zone in dead:
        assert zone["zg"] >= zone["zd"]
        assert zone["start_time"] < zone["formed_time"] < zone["death_time"]
        assert zone["end_time"] < zone["death_time"]
    for before, after in pairwise(of(events, "anchor.switch")):
        assert after["old_anchor"]["start_time"] == before["new_anchor"]["start_time"]
        assert after["new_anchor"]["start_time"] != after["old_anchor"]["start_time"]
    for snapshot in of(events, "sr.snapshot"):
        living = [level for level in snapshot["levels"] if level["status"] != "broken"]
        assert len(living) <= 10
