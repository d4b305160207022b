"""Instruments of the pipeline and of the pool of database threads (docs/metrics.md)."""

from __future__ import annotations

import time

from market.domain.series import SeriesId
from market.metrics_registry import COLLECTING, OTHER, SERIES, SLOW, Counter, Gauge, Histogram

# A candle stored or published later than this many timeframes after its close is history.
LIVE_TIMEFRAMES = 10

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
PIPELINE_STEP = Histogram(
    "market_pipeline_step_seconds",
    "A step of the pipeline, of one batch: the store, a stage, or the commit.",
    labels=("step",),
)
GROUP_SERIES = Histogram(
    "market_pipeline_group_series",
    "Series whose closed candles were committed in one transaction, where there were several.",
    buckets=(2, 5, 10, 20, 50, 100, 200, 500),
)
PIPELINE_FAILURES = Counter(
    "market_pipeline_failures_total",
    "Batches that failed in the end; a transaction that is repeated with success is none.",
    labels=("step",),
)
NOTICES = Counter(
    "market_notices_total",
    "Notices to watchers: revisions, rebuilds of factors, and such.",
    labels=("event",),
)

POOL_CALLS = Histogram(
    "market_database_call_seconds", "Work of the threads that hold database connections."
)
POOL_WAIT = Histogram("market_database_wait_seconds", "Waiting for such a thread to be free.")
POOL_BUSY = Gauge("market_database_pool_busy", "Threads of the pool at work.")
POOL_WAITING = Gauge("market_database_pool_waiting", "Calls that wait for a thread.")
POOL_SIZE = Gauge("market_database_pool_size", "Threads, and database connections, at most.")
POOL_FAILURES = Counter("market_database_failures_total", "Calls that raised an exception.")


def candles_stored(series: SeriesId, *, fresh: int, past: int, head: int | None) -> None:
    """Count a committed batch: `fresh` candles beyond the old head, `past` ones behind it.

    `head` is the series' head after the batch.
    """
    if not COLLECTING.is_on:
        return
    label = SERIES.admit(series)
    if fresh and head is not None:
        CANDLES_STORED.inc(fresh, label, "fresh")
        if label is not OTHER:
            LAST_CANDLE_TIME.set(head, label)
        if (age := live_age(series, head)) is not None:
            CLOSE_TO_STORED.observe(age)
    if past:
        CANDLES_STORED.inc(past, label, "past")


def step_done(step: str, started: float) -> float:
    """Record a pipeline step that began at `started` (time.perf_counter); return the time now."""
    now = time.perf_counter()
    PIPELINE_STEP.observe(now - started, step)
    return now


def live_age(series: SeriesId, candle_time: int) -> float | None:
    """Seconds since a candle closed; None for history, which would distort a histogram."""
    timeframe = series.timeframe
    age = time.time() - timeframe.close_of(candle_time)
    return age if 0 <= age <= LIVE_TIMEFRAMES * timeframe.seconds else None


def call_queued() -> float:
    """Count a call that waits for a database thread; return the time now (perf_counter)."""
    POOL_WAITING.inc()
    return time.perf_counter()


def call_began(queued_at: float) -> float:
    """Record that a thread took the call; return the time now (perf_counter)."""
    now = time.perf_counter()
    POOL_WAITING.inc(-1)
    POOL_BUSY.inc()
    POOL_WAIT.observe(now - queued_at)
    return now


def call_ended(began_at: float) -> None:
    """Record that the call returned or raised."""
    POOL_BUSY.inc(-1)
    POOL_CALLS.observe(time.perf_counter() - began_at)
