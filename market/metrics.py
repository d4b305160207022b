"""Every instrument of trade_canvas, and the lines that its parts measure with.

docs/metrics.md says what each means. Nothing here is called once a watcher: a frame that goes to a
thousand of them is counted once, times a thousand.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Protocol

from market.metrics_registry import (
    COLLECTING,
    OTHER,
    ROWS,
    SERIES,
    SLOW,
    Counter,
    Gauge,
    Histogram,
)

if TYPE_CHECKING:
    from market.bus.messages import ClosedCandles
    from market.domain.change import Change
    from market.domain.series import SeriesId
    from market.live.frames import Frame

# A candle stored or published later than this many timeframes after its close is history.
LIVE_TIMEFRAMES = 10

# Ingest
INGEST_REQUESTS = Counter(
    "market_ingest_closed_requests_total",
    "Requests that brought one closed candle.",
    labels=("result", "step"),
)
INGEST_DURATION = Histogram(
    "market_ingest_closed_duration_seconds",
    "From such a request's candle being read to its being announced.",
    labels=("result",),
)
INGEST_BATCH_REQUESTS = Counter(
    "market_ingest_closed_batch_requests_total",
    "Requests that brought a batch of closed candles.",
    labels=("result", "step"),
)
INGEST_BATCH_DURATION = Histogram(
    "market_ingest_closed_batch_duration_seconds",
    "From such a batch being read to its being announced.",
    labels=("result",),
)
CANDLES_STORED = Counter(
    "market_candles_stored_total",
    "Closed candles that the pipeline committed: fresh beyond the head, past behind it.",
    labels=("series_id", "kind"),
)
LAST_CANDLE_TIME = Gauge(
    "market_ingest_last_candle_time",
    "Open time of the newest candle that this process stored (Unix seconds).",
    labels=("series_id",),
)
CLOSE_TO_STORED = Histogram(
    "market_candle_close_to_stored_seconds",
    "From the end of a live candle's time to its commit.",
    buckets=SLOW,
)
CLOSE_TO_PUBLISHED = Histogram(
    "market_candle_close_to_published_seconds",
    "From the end of a live candle's time to its being on the bus.",
    buckets=SLOW,
)
PIPELINE_STEP = Histogram(
    "market_pipeline_step_seconds",
    "A step of the pipeline, of one batch: the store, a stage, or the commit.",
    labels=("step",),
)
PIPELINE_FAILURES = Counter(
    "market_pipeline_failures_total", "Batches that were taken back.", labels=("step",)
)
NOTICES = Counter(
    "market_notices_total",
    "Notices to watchers: revisions, rebuilds of factors, and such.",
    labels=("event",),
)

# Query
QUERY_REQUESTS = Counter(
    "market_query_candles_requests_total",
    "Requests for a page of candles: ok, not_modified (304), or error.",
    labels=("result",),
)
QUERY_DURATION = Histogram(
    "market_query_candles_duration_seconds",
    "From such a request to its answer's last byte.",
    labels=("result",),
)
QUERY_PAGES = Counter(
    "market_query_candles_pages_total",
    "Pages of candles by where they came from: cache or store.",
    labels=("source",),
)
QUERY_ROWS = Counter("market_query_candles_rows_total", "Candles in the pages that were answered.")
QUERY_RESULT_COUNT = Gauge(
    "market_query_candles_result_count",
    "Candles in the page that was answered last.",
    labels=("series_id",),
)
QUERY_HEAD_TIME = Gauge(
    "market_query_head_time",
    "Head of the series when it was last asked for (Unix seconds).",
    labels=("series_id",),
)
QUERY_HEAD_LAG = Gauge(
    "market_query_head_lag_seconds",
    "How old that head's open time was then.",
    labels=("series_id",),
)

# WebSocket
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
CATCHUP_CANDLES = Counter(
    "market_ws_catchup_candles_total", "Closed candles sent in catch-ups, over all watchers."
)
CATCHUP_SIZE = Histogram(
    "market_ws_catchup_size", "Closed candles in one read of a catch-up.", buckets=ROWS
)
LAST_CATCHUP_COUNT = Gauge(
    "market_ws_last_catchup_count", "Closed candles in the catch-up that was read last."
)
PAYLOADS = Counter("market_ws_payloads_total", "Frames that were built, each for any number.")
LAST_PAYLOAD_COUNT = Gauge(
    "market_ws_last_payload_count", "Messages in the frame that was sent last."
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
DELIVERY = Histogram(
    "market_ws_delivery_seconds",
    "From a message's publication to its being handed to the last watcher of this process.",
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
    "market_ws_disconnect_cleanup_series_count",
    "Series that the connection which ended last had followed.",
)

# Bus
BUS_PUBLISHED = Counter(
    "market_bus_published_total", "Messages put on the bus.", labels=("type", "result")
)
CANDLES_PUBLISHED = Counter(
    "market_candles_published_total", "Closed candles put on the bus.", labels=("series_id",)
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

# Tasks
TASKS = Counter("market_tasks_total", "Tasks that ended.", labels=("task", "result"))
TASK_DURATION = Histogram(
    "market_task_seconds", "How long tasks ran.", labels=("task",), buckets=SLOW
)
TASK_WAIT = Histogram(
    "market_task_wait_seconds",
    "How long tasks were queued before a worker took them.",
    labels=("task",),
    buckets=SLOW,
)
TASKS_RUNNING = Gauge("market_tasks_running", "Tasks that run now.", labels=("task",))
FOLLOW_FAILURES = Counter(
    "market_follow_failures_total", "Failures of following a series.", labels=("series_id",)
)

# Process
LOOP_LAG = Histogram(
    "market_event_loop_lag_seconds", "How late the web process's event loop wakes up."
)


class Answered(Protocol):
    """What is measured of an answered page: how many candles it has, and the series' head."""

    @property
    def rows(self) -> int: ...
    @property
    def head(self) -> int | None: ...


def candles_stored(change: Change) -> None:
    """A batch landed."""
    if not COLLECTING.is_on:
        return
    label = SERIES.admit(change.series)
    if change.fresh:
        CANDLES_STORED.inc(len(change.fresh), label, "fresh")
        newest = change.fresh[-1].candle_time
        if label is not OTHER:
            LAST_CANDLE_TIME.set(newest, label)
        _observe_age(CLOSE_TO_STORED, change.series, newest)
    if change.past:
        CANDLES_STORED.inc(len(change.past), label, "past")
    for notice in change.notices:
        NOTICES.inc(1, notice.event)


def step_done(step: str, started: float) -> float:
    """A step of the pipeline that began at `started` (of time.perf_counter) ended; now."""
    now = time.perf_counter()
    PIPELINE_STEP.observe(now - started, step)
    return now


def follow_failed(series: SeriesId) -> None:
    """Following a series failed, and will be tried again."""
    if COLLECTING.is_on:
        FOLLOW_FAILURES.inc(1, SERIES.admit(series))


def candles_published(message: ClosedCandles) -> None:
    """A message of closed candles is on the bus."""
    if COLLECTING.is_on:
        CANDLES_PUBLISHED.inc(len(message.candles), SERIES.admit(message.series))
        _observe_age(CLOSE_TO_PUBLISHED, message.series, message.candles[-1].candle_time)


def page_answered(series: SeriesId, page: Answered, started: float, *, unchanged: bool) -> None:
    """A page was answered, or that it is unchanged; `started` is of time.perf_counter."""
    if not COLLECTING.is_on:
        return
    result = "not_modified" if unchanged else "ok"
    QUERY_REQUESTS.inc(1, result)
    QUERY_DURATION.observe(time.perf_counter() - started, result)
    if not unchanged:
        QUERY_ROWS.inc(page.rows)
    now = time.time()
    if page.head is None or SERIES.is_repeat(series, page.rows, page.head, int(now)):
        return
    label = SERIES.admit(series)
    if label is not OTHER:
        QUERY_RESULT_COUNT.set(page.rows, label)
        QUERY_HEAD_TIME.set(page.head, label)
        QUERY_HEAD_LAG.set(max(0.0, now - page.head), label)


def page_failed(started: float) -> None:
    """A page could not be answered."""
    if COLLECTING.is_on:
        QUERY_REQUESTS.inc(1, "error")
        QUERY_DURATION.observe(time.perf_counter() - started, "error")


def frame_sent(frame: Frame, watchers: int) -> None:
    """One frame was handed to `watchers` connections."""
    if not COLLECTING.is_on or not watchers:
        return
    PAYLOADS.inc()
    for kind, count in frame.types.items():
        FRAMES.inc(count * watchers, kind)
    FRAME_BYTES.inc(len(frame.data) * watchers)
    LAST_PAYLOAD_COUNT.set(sum(frame.types.values()))


def candles_delivered(series: SeriesId, candles: int, frame: Frame, *, watchers: int) -> None:
    """One frame of `candles` closed candles was handed to `watchers` connections, live."""
    if COLLECTING.is_on:
        CANDLES_DELIVERED.inc(candles * watchers, SERIES.admit(series))
        frame_sent(frame, watchers)


def caught_up(candles: int, frame: Frame) -> None:
    """A part of a catch-up was handed to one connection."""
    if COLLECTING.is_on:
        CATCHUP_CANDLES.inc(candles)
        CATCHUP_SIZE.observe(candles)
        LAST_CATCHUP_COUNT.set(candles)
        frame_sent(frame, 1)


def outboxes(waiting: Iterable[int]) -> None:
    """How many bytes wait for each watcher."""
    if COLLECTING.is_on:
        each = list(waiting)
        OUTBOX_BYTES.set(sum(each))
        OUTBOX_MAX_BYTES.set(max(each, default=0))


def ingested(started: float, *, batch: bool, failed_step: str | None) -> None:
    """A request that brought closed candles ended; `started` is of time.perf_counter."""
    if not COLLECTING.is_on:
        return
    result = "ok" if failed_step is None else "error"
    requests = INGEST_BATCH_REQUESTS if batch else INGEST_REQUESTS
    duration = INGEST_BATCH_DURATION if batch else INGEST_DURATION
    requests.inc(1, result, failed_step or "")
    duration.observe(time.perf_counter() - started, result)


def subscribed(result: str, started: float) -> None:
    """A request to subscribe ended; `started` is of time.perf_counter."""
    if COLLECTING.is_on:
        SUBSCRIBES.inc(1, result)
        SUBSCRIBE_DURATION.observe(time.perf_counter() - started, result)


def unsubscribed(result: str, started: float) -> None:
    """A request to unsubscribe ended."""
    if COLLECTING.is_on:
        UNSUBSCRIBES.inc(1, result)
        UNSUBSCRIBE_DURATION.observe(time.perf_counter() - started, result)


def received(message: Mapping[str, object]) -> None:
    """A message of ours came over the bus."""
    if COLLECTING.is_on:
        BUS_RECEIVED.inc()
        if (seconds := since_sent(message)) is not None:
            BUS_LAG.observe(seconds)


def delivered(message: Mapping[str, object]) -> None:
    """All watchers of a message that came over the bus have been handed it."""
    if COLLECTING.is_on and (seconds := since_sent(message)) is not None:
        DELIVERY.observe(seconds)


def since_sent(message: Mapping[str, object]) -> float | None:
    """Seconds since a bus message was published; None of one that does not say."""
    sent_at = message.get("sent_at")
    return max(0.0, time.time() - sent_at) if isinstance(sent_at, float) else None


def _observe_age(histogram: Histogram, series: SeriesId, candle_time: int) -> None:
    timeframe = series.timeframe.seconds
    age = time.time() - candle_time - timeframe
    if 0 <= age <= LIVE_TIMEFRAMES * timeframe:
        histogram.observe(age)
