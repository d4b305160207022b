from __future__ import annotations

from django.apps import AppConfig
from django.conf import settings

from market.metrics_registry import COLLECTING

# Loaded with the apps, so that every process sends tasks to the configured broker.
from trade_canvas.celery import app as celery_app

__all__ = ["TradeCanvasConfig", "celery_app"]


class TradeCanvasConfig(AppConfig):
    name = "trade_canvas"

    def ready(self) -> None:
        """Start collecting metrics if a switch asks for it."""
        COLLECTING.is_on = settings.SWITCHES.collects_metrics
