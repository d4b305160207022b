"""Instruments of the WebSocket side.

Nothing here is called once a watcher: a frame that goes to a thousand of them is counted once,
times a thousand.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping

from market.domain.series import SeriesId
from market.metrics_registry import COLLECTING, ROWS, SERIES, Counter, Gauge, Histogram

WATCHERS = Gauge("market_ws_watchers", "Open connections to /ws/market.")
SUBSCRIPTIONS = Gauge("market_ws_active_subscriptions", "Series followed, over all watchers.")
SUBSCRIBES = Counter(
    "market_ws_subscribe_total", "Requests to subscribe, by how they ended.", labels=("result",)
)
SUBSCRIBE_DURATION = Histogram(
    "market_ws_subscribe_duration_seconds",
    "From such a request to the end of its catch-up.",
    labels=("result",),
)
UNSUBSCRIBES = Counter(
    "market_ws_unsubscribe_total", "Requests to unsubscribe.", labels=("result",)
)
UNSUBSCRIBE_DURATION = Histogram(
    "market_ws_unsubscribe_duration_seconds", "Handling of such a request.", labels=("result",)
)
REWOUND = Counter(
    "market_ws_rewound_total",
    "Times that a hub found the past of a series changed, as after a failover or a restore.",
)
CATCHUP_CANDLES = Counter(
    "market_ws_catchup_candles_total", "Closed candles sent in catch-ups, over all watchers."
)
CATCHUP_SIZE = Histogram(
    "market_ws_catchup_size", "Closed candles in one read of a catch-up.", buckets=ROWS
)
LAST_CATCHUP_COUNT = Gauge(
    "market_ws_last_catchup_candles",
    "Closed candles in the catch-up that was read last.",
    old_name="market_ws_last_catchup_count",
)
PAYLOADS = Counter("market_ws_payloads_total", "Frames that were built, each for any number.")
LAST_PAYLOAD_COUNT = Gauge(
    "market_ws_last_payload_messages",
    "Messages in the frame that was sent last.",
    old_name="market_ws_last_payload_count",
)
FRAMES = Counter(
    "market_ws_frames_total",
    "WebSocket messages handed to connections, over all watchers, by their type.",
    labels=("type",),
)
CANDLES_DELIVERED = Counter(
    "market_ws_candles_delivered_total",
    "Closed candles handed to connections live, over all watchers: published times watchers.",
    labels=("series_id",),
)
FRAME_BYTES = Counter(
    "market_ws_frame_bytes_total", "Bytes of those messages, as they go down the socket."
)
OUTBOX_BYTES = Gauge("market_ws_outbox_bytes", "Bytes that wait for all watchers.")
OUTBOX_MAX_BYTES = Gauge(
    "market_ws_outbox_max_bytes", "Bytes that wait for the watcher furthest behind."
)
SLOW_CLOSES = Counter(
    "market_ws_slow_closes_total", "Watchers closed with 4008 because they did not read."
)
DISCONNECTS = Counter(
    "market_ws_disconnect_cleanup_total", "Connections that ended and were cleared up."
)
DISCONNECT_UNSUBSCRIBES = Counter(
    "market_ws_disconnect_unsubscribe_total",
    "Subscriptions that ended with their connection.",
    labels=("result",),
)
DISCONNECT_SERIES = Gauge(
    "market_ws_disconnect_cleanup_series",
    "Series that the connection which ended last had followed.",
    old_name="market_ws_disconnect_cleanup_series_count",
)


def frame_sent(types: Mapping[str, int], size: int, watchers: int) -> None:
    """Count a frame of `size` bytes handed to `watchers` connections.

    `types` is how many messages of each type it holds.
    """
    if not COLLECTING.is_on or not watchers:
        return
    PAYLOADS.inc()
    for kind, count in types.items():
        FRAMES.inc(count * watchers, kind)
    FRAME_BYTES.inc(size * watchers)
    LAST_PAYLOAD_COUNT.set(sum(types.values()))


def candles_delivered(series: SeriesId, candles: int, watchers: int) -> None:
    """Count closed candles that one live frame brought to `watchers` connections."""
    if COLLECTING.is_on:
        CANDLES_DELIVERED.inc(candles * watchers, SERIES.admit(series))


def caught_up(candles: int) -> None:
    """Count the closed candles of one part of a catch-up, handed to one connection."""
    if COLLECTING.is_on:
        CATCHUP_CANDLES.inc(candles)
        CATCHUP_SIZE.observe(candles)
        LAST_CATCHUP_COUNT.set(candles)


def outboxes(waiting: Iterable[int]) -> None:
    """Set how many bytes wait, given those of each watcher."""
    if COLLECTING.is_on:
        each = list(waiting)
        OUTBOX_BYTES.set(sum(each))
        OUTBOX_MAX_BYTES.set(max(each, default=0))


def subscribed(result: str, started: float) -> None:
    """Record the end of a subscribe request; `started` is of time.perf_counter."""
    if COLLECTING.is_on:
        SUBSCRIBES.inc(1, result)
        SUBSCRIBE_DURATION.observe(time.perf_counter() - started, result)


def unsubscribed(result: str, started: float) -> None:
    """Record the end of an unsubscribe request; `started` is of time.perf_counter."""
    if COLLECTING.is_on:
        UNSUBSCRIBES.inc(1, result)
        UNSUBSCRIBE_DURATION.observe(time.perf_counter() - started, result)
