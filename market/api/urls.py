"""Addresses below /api/market/."""

from __future__ import annotations

from django.urls import path

from market.api.candle_files import CandleFile
from market.api.candles import Candles
from market.api.debug import IngestState, Metrics, SeriesHealth
from market.api.derived import Derived
from market.api.health import Health
from market.api.history import History, HistoryChunk
from market.api.ingest import ClosedCandle, FormingCandle
from market.api.symbols import Symbols
from market.api.top_market_stream import TopMarketsStream
from market.api.top_markets import TopMarkets
from market.api.whitelist import Whitelist

urlpatterns = [
    path("candles", Candles.as_view()),
    path("candles.<str:kind>", CandleFile.as_view()),
    path("history", History.as_view()),
    path("history/<str:name>", HistoryChunk.as_view()),
    path("ingest/candle_closed", ClosedCandle.as_view()),
    path("ingest/candle_forming", FormingCandle.as_view()),
    path("whitelist", Whitelist.as_view()),
    path("derived", Derived.as_view()),
    path("symbols", Symbols.as_view()),
    path("health", Health.as_view()),
    path("debug/ingest_state", IngestState.as_view()),
    path("debug/metrics", Metrics.as_view()),
    path("debug/series_health", SeriesHealth.as_view()),
    path("top_markets", TopMarkets.as_view()),
    path("top_markets/stream", TopMarketsStream.as_view()),
]
