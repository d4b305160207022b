"""Every bar of a walk shows what a frame of that bar has, whatever was stored how."""

from __future__ import annotations

import random

import pytest

from factors.domain.slices import window_start
from factors.tests.ledgers import changed, new_series
from overlays.api.tests.drawn import walk as random_walk
from overlays.replay.reader import ReplayReader, Revised
from overlays.replay.tests.states import framed, walked
from overlays.tests.ledgers import FACTORS, Worker

WINDOW = 40


@pytest.fixture
def filled(stores):
    """A series with batches of any size, a hole, a late candle and a revision."""
    series, worker = new_series(), Worker(stores)
    candles = [each for n, each in enumerate(random_walk(130)) if n % 41 < 38]
    late = candles.pop(70)
    for start in range(0, len(candles), 37):
        worker.ingest(series, candles[start : start + 37])
    worker.ingest(series, [late])
    worker.ingest(series, [changed(candles[95])])
    return stores, series, worker


def reader(stores):
    return ReplayReader(stores.candles, stores.facts, stores.drawings, FACTORS.factors)


@pytest.mark.parametrize("step", [1, 7, 50])
def test_every_bar_shows_what_its_frame_has(filled, step):
    stores, series, _ = filled
    times = [each.candle_time for each in stores.candles.read_after(series, -1, 1000)]
    walk = reader(stores).begin(series, times[0], window=WINDOW, with_factors=True)
    seen = dict(walked(walk, times[-1], step))
    assert list(seen) == [times[0], *times[step::step], *([times[-1]] if step > 1 else [])]
    for time, state in seen.items():
        assert state == framed(stores.reads, series, time, WINDOW), time


def test_a_walk_may_begin_at_any_bar_or_before_the_first(filled):
    stores, series, _ = filled
    times = [each.candle_time for each in stores.candles.read_after(series, -1, 1000)]
    for at in [0, *random.Random(1).sample(range(times[0], times[-1] + 120), 8)]:
        walk = reader(stores).begin(series, at, window=WINDOW, with_factors=True)
        for time, state in walked(walk, at + 300, 4):
            assert state == framed(stores.reads, series, time, WINDOW), (at, time)


def test_a_walk_ends_when_its_past_is_revised(filled):
    stores, series, worker = filled
    times = [each.candle_time for each in stores.candles.read_after(series, -1, 1000)]
    walk = reader(stores).begin(series, times[0], window=WINDOW, with_factors=False)
    walk.advance(times[50], 20)
    (candle,) = stores.candles.read_range(series, times[30], times[30], limit=1)
    worker.ingest(series, [changed(candle, 3.0)])
    with pytest.raises(Revised):
        walk.advance(times[50], 20)


def test_a_newer_candle_does_not_end_a_walk(filled):
    stores, series, worker = filled
    times = [each.candle_time for each in stores.candles.read_after(series, -1, 1000)]
    walk = reader(stores).begin(series, times[0], window=WINDOW, with_factors=True)
    (last,) = stores.candles.newest(series, 1)
    worker.ingest(series, [last._replace(candle_time=last.candle_time + 60)])
    assert [bar.candle.candle_time for bar in walk.advance(10**9, 1000)] == times[1:]


def test_the_window_of_a_bar_moves_with_it(filled):
    stores, series, _ = filled
    head = stores.candles.state(series).head
    walk = reader(stores).begin(series, head, window=WINDOW, with_factors=False)
    assert walk.drawn.cutoff(head) == window_start(head, WINDOW, series.timeframe)
