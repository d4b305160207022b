"""Instruments of the bus: what is published on it, received from it, and missed."""

from __future__ import annotations

import time
from collections.abc import Mapping

from market.domain.series import SeriesId
from market.metrics import live_age
from market.metrics_registry import COLLECTING, SERIES, SLOW, Counter, Histogram

BUS_PUBLISHED = Counter(
    "market_bus_published_total", "Messages put on the bus.", labels=("type", "result")
)
CANDLES_PUBLISHED = Counter(
    "market_candles_published_total", "Closed candles put on the bus.", labels=("series_id",)
)
CLOSE_TO_PUBLISHED = Histogram(
    "market_candle_close_to_published_seconds",
    "From the end of a live candle's time to its being on the bus.",
    buckets=SLOW,
)
BUS_RECEIVED = Counter("market_bus_received_total", "Messages that came over the bus.")
BUS_MALFORMED = Counter("market_bus_malformed_total", "Messages that none of ours would send.")
BUS_MISSED = Counter(
    "market_bus_missed_total", "Times that a hub found itself behind the store, and read it."
)
BUS_HEALED = Counter(
    "market_bus_healed_candles_total", "Closed candles delivered from the store instead."
)
BUS_LAG = Histogram(
    "market_bus_lag_seconds", "From publication to reception, by both machines' clocks."
)
BUS_LOST = Counter("market_bus_lost_total", "Times that the connection to the bus was lost.")
DELIVERY = Histogram(
    "market_ws_delivery_seconds",
    "From a message's publication to its being handed to the last watcher of this process.",
)


def candles_published(series: SeriesId, candles: int, newest: int) -> None:
    """Count closed candles that were put on the bus; `newest` is the last open time."""
    if COLLECTING.is_on:
        CANDLES_PUBLISHED.inc(candles, SERIES.admit(series))
        if (age := live_age(series, newest)) is not None:
            CLOSE_TO_PUBLISHED.observe(age)


def received(message: Mapping[str, object]) -> None:
    """Count a valid message that came over the bus."""
    if COLLECTING.is_on:
        BUS_RECEIVED.inc()
        if (seconds := _since_sent(message)) is not None:
            BUS_LAG.observe(seconds)


def delivered(message: Mapping[str, object]) -> None:
    """Record that a message has been handed to every watcher of this process."""
    if COLLECTING.is_on and (seconds := _since_sent(message)) is not None:
        DELIVERY.observe(seconds)


def _since_sent(message: Mapping[str, object]) -> float | None:
    """Seconds since a message was published; None when it carries no time."""
    sent_at = message.get("sent_at")
    return max(0.0, time.time() - sent_at) if isinstance(sent_at, float) else None
