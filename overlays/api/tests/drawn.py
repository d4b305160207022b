"""Candles that draw something of every kind, and ways to store and read them."""

from __future__ import annotations

import random

from django.conf import settings

from market import blocking, runtime
from market.domain.candle import Candle
from market.domain.series import SeriesId

SERIES = "binance:futures:BTC/USDT:1m"
DELTA = "/api/draw/delta"
LIVE = "/api/frame/live"
AT_TIME = "/api/frame/at_time"
POLL = "/api/delta/poll"
REPAIR = "/api/dev/repair/overlay"
BOTH = ["factors.stage.FactorStage", "overlays.stage.OverlayStage"]


def walk(count=150, seed=3):
    """A random walk in minutes from 60 on."""
    chance, close, candles = random.Random(seed), 100.0, []
    for n in range(1, count + 1):
        first, close = close, close + chance.choice([-2.5, -1.1, -0.1, 0.1, 1.1, 2.5])
        high, low = max(first, close) + chance.random(), min(first, close) - chance.random()
        candles.append(Candle(60 * n, first, high, low, close, 1.0))
    return candles


def ingest(candles, *, series=SERIES, stages=None):
    """Store candles; with `stages` by a process that has just these."""
    if stages is None:
        return blocking.call(runtime.pipeline().ingest, SeriesId.parse(series), candles)
    before = settings.PIPELINE_STAGES
    settings.PIPELINE_STAGES = stages
    runtime.pipeline.reset()
    try:
        return ingest(candles, series=series)
    finally:
        settings.PIPELINE_STAGES = before
        runtime.pipeline.reset()


def read(api, path, **query):
    """A good answer's body."""
    response = api.get(path, series_id=SERIES, **query)
    assert response.status_code == 200, response.content
    return response.json()


def refused(response):
    """Status, detail and code of a refusal."""
    body = response.json()
    assert set(body) == {"detail", "code"}, body
    return response.status_code, body["detail"], body["code"]
