"""A client of trade_canvas: candles and factor events as frames, and live updates that resume.

from trade_canvas_client import Client

with Client("https://charts.example.org") as client:
    frame = client.candles("binance:futures:BTC/USDT:1m", start="2026-11-01").to_pandas()
"""

from __future__ import annotations

from trade_canvas_client.client import AsyncClient, Client
from trade_canvas_client.columns import Candle, Candles
from trade_canvas_client.errors import (
    ApiError,
    BadRequest,
    Conflict,
    ConnectionFailed,
    NotAllowed,
    NotFound,
    RateLimited,
    SeriesChanging,
    SubscriptionRefused,
    TradeCanvasError,
    Unavailable,
    UnexpectedAnswer,
)
from trade_canvas_client.fact_reads import Symbol
from trade_canvas_client.facts import Events, FactorEvent, Features
from trade_canvas_client.retry import Retry
from trade_canvas_client.updates import (
    Closed,
    FactorsRebuilt,
    Forming,
    Gap,
    Interrupted,
    Live,
    Reset,
    Revised,
    Update,
)

__version__ = "0.1.0"

__all__ = [
    "ApiError",
    "AsyncClient",
    "BadRequest",
    "Candle",
    "Candles",
    "Client",
    "Closed",
    "Conflict",
    "ConnectionFailed",
    "Events",
    "FactorEvent",
    "FactorsRebuilt",
    "Features",
    "Forming",
    "Gap",
    "Interrupted",
    "Live",
    "NotAllowed",
    "NotFound",
    "RateLimited",
    "Reset",
    "Retry",
    "Revised",
    "SeriesChanging",
    "SubscriptionRefused",
    "Symbol",
    "TradeCanvasError",
    "Unavailable",
    "UnexpectedAnswer",
    "Update",
]
