"""Instruments of alerts (docs/metrics.md)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from market.metrics_registry import FAST, Counter, Gauge, Histogram

FOUND = Counter(
    "market_alerts_total",
    "Alerts that were committed with their candles; repeated ones of a batch count again.",
    labels=("kind",),
)
DROPPED = Counter(
    "market_alerts_dropped_total", "Alerts of one batch beyond the bound; they are not stored."
)
DELIVERIES = Counter(
    "market_alert_deliveries_total",
    "Attempts at webhooks: delivered, failed, dead (the last attempt failed) or gone (410).",
    labels=("result",),
)
DELIVERY_SECONDS = Histogram(
    "market_alert_delivery_seconds", "One attempt at a webhook.", buckets=FAST
)
WAITING = Gauge("market_alerts_waiting", "Alerts that wait for delivery, of the installation.")
OLDEST = Gauge(
    "market_alerts_oldest_seconds", "How long the oldest of them has waited, of the installation."
)
DEAD = Gauge("market_alerts_dead", "Alerts whose delivery was given up, of the installation.")
WATCHERS = Gauge("market_alert_stream_watchers", "Open streams of alerts of this process.")


@contextmanager
def watching() -> Iterator[None]:
    """Count an open stream."""
    WATCHERS.inc()
    try:
        yield
    finally:
        WATCHERS.inc(-1)
