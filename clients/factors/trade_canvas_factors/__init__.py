"""The factors and drawings of trade_canvas, computed in your own process from candles you have.

    from trade_canvas_factors import Engine

    run = Engine("5m").run(frame)
    run.events, run.heads, run.drawings()

It is made of the server's own computation, so the results are the server's, digit by digit.
"""

from __future__ import annotations

from factors.domain.all_factors import FACTORS
from factors.domain.graph import FactorSpec, Feature
from factors.domain.pivot import PivotParameters
from factors.domain.sr_levels import SrParameters
from factors.domain.values import Event, Head, Outcome
from market.domain.candle import Candle
from market.domain.timeframe import Timeframe
from overlays.domain.all_renderers import RENDERERS
from overlays.domain.renderer import RendererSpec
from trade_canvas_factors.candles import CandlesError, candles_of
from trade_canvas_factors.chart import svg
from trade_canvas_factors.engine import Drawing, Engine, Run, Step

__all__ = [
    "FACTORS",
    "RENDERERS",
    "Candle",
    "CandlesError",
    "Drawing",
    "Engine",
    "Event",
    "FactorSpec",
    "Feature",
    "Head",
    "Outcome",
    "PivotParameters",
    "RendererSpec",
    "Run",
    "SrParameters",
    "Step",
    "Timeframe",
    "candles_of",
    "svg",
]
