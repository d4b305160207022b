from __future__ import annotations

import pytest

from lab.drills.watchers import Received, Watcher

SERIES = "sim:futures:BTC/USDT:1s"


@pytest.fixture
def watcher():
    return Watcher(SERIES, 100, Received(watchers=1))


def candle(moment, close=1.0):
    prices = {"open": 1.0, "high": 2.0, "low": 0.5, "close": close, "volume": 3.0}
    return {"candle_time": moment, **prices}


def tell(watcher, *moments, close=1.0):
    for moment in moments:
        watcher.take({"type": "candle_closed", "candle": candle(moment, close)})


def counts(watcher):
    told = watcher.received
    return told.delivered, told.duplicated, told.out_of_order, told.differing


def test_watcher_counts_what_is_as_it_should_be(watcher):
    tell(watcher, 101, 102)
    candles = [candle(103), candle(104)]
    watcher.take({"type": "candles_batch", "candles": candles})
    assert counts(watcher) == (4, 0, 0, 0)
    assert watcher.cursor == 104
    assert watcher.missing(101, 104, 1) == 0


def test_watcher_counts_a_candle_that_comes_twice(watcher):
    tell(watcher, 101, 102, 101)
    assert counts(watcher) == (3, 1, 0, 0)


def test_watcher_counts_a_candle_that_comes_late(watcher):
    tell(watcher, 101, 103, 102)
    assert counts(watcher) == (3, 0, 1, 0)
    assert watcher.cursor == 103


def test_watcher_counts_one_that_it_was_said_to_have(watcher):
    tell(watcher, 100, 101)
    assert counts(watcher) == (2, 1, 0, 0)


def test_watcher_misses_what_never_came(watcher):
    tell(watcher, 101, 104)
    assert watcher.missing(101, 105, 1) == 3


def test_watchers_that_are_told_different_things_are_noticed(watcher):
    other = Watcher(SERIES, 100, watcher.received)
    tell(watcher, 101)
    tell(other, 101, close=1.5)
    assert counts(watcher) == (2, 0, 0, 1)


def test_watcher_counts_gaps_and_revisions(watcher):
    watcher.take({"type": "gap", "expected_next_time": 101, "actual_time": 103})
    watcher.take({"type": "system", "event": "candle.revised"})
    watcher.take({"type": "system", "event": "factor.rebuild"})
    assert (watcher.received.gaps, watcher.received.revisions) == (1, 1)
