from __future__ import annotations

from django.apps import AppConfig


class TradeCanvasConfig(AppConfig):
    name = "trade_canvas"
