"""Recorded markets, stored and drawn as they would be live: drawings and factors agree.

Every N-th candle here; `manage.py verify SERIES --integrity` reads at every one.
"""

from __future__ import annotations

import pytest

from factors import runtime
from factors.stage import FactorStage
from factors.tests.ledgers import new_series
from market.pipeline import Pipeline
from overlays.reads import Reads
from overlays.stage import OverlayStage
from overlays.tests.ledgers import Viewer, fresh, postgres_stores
from tests.recordings import recorded_candles

WINDOW = 2000
BATCH = 307


@pytest.fixture
def reads(transactional_db):
    """Both ledgers on PostgreSQL, with the parameters of a new installation."""
    stores = postgres_stores()
    factors = FactorStage(ledger=stores.facts, candles=stores.candles)
    drawing = OverlayStage(stores.drawings, facts=stores.facts, candles=stores.candles)
    stores.pipeline = Pipeline(stores.candles, [factors, drawing])
    return Reads(stores.candles, stores.facts, stores.drawings, runtime.engine().factors), stores


@pytest.mark.parametrize(
    ("name", "timeframe", "count"),
    [
        ("DOGE_USDT-1m", "1m", WINDOW + 2 * BATCH),
        pytest.param("DOGE_USDT-1m", "1m", 4500, marks=pytest.mark.prove),
        pytest.param("BTC_USDT-5m", "5m", 4500, marks=pytest.mark.prove),
    ],
)
def test_integrity_and_deltas_hold_on_recorded_candles(reads, name, timeframe, count):
    reads, stores = reads
    candles = recorded_candles(name)[:count]
    series = new_series(timeframe)
    viewer, frames = Viewer(reads, series, window=WINDOW), {}
    for start in range(0, len(candles), BATCH):
        stores.pipeline.ingest(series, candles[start : start + BATCH])
        viewer.poll()
        assert viewer.shown() == fresh(reads, series, window=WINDOW)
        frame = reads.frame_live(series, window=WINDOW).body
        frames[frame["time"]["aligned_time"]] = frame
    for time, frame in frames.items():
        assert reads.frame_at(series, time, window=WINDOW).body == frame
    for candle in candles[:: BATCH // 5]:
        reads.check(series, candle.candle_time, window=WINDOW)
