"""Instruments of the HTTP API: candles posted, and pages of candles answered."""

from __future__ import annotations

import time

from market.domain.series import SeriesId
from market.metrics_registry import COLLECTING, OTHER, SERIES, Counter, Gauge, Histogram

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
    "market_query_candles_result_candles",
    "Candles in the page that was answered last.",
    old_name="market_query_candles_result_count",
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


HISTORY_CHUNKS = Counter(
    "market_history_chunks_total",
    "Requests for a chunk of compact history, by where it came from: cache, store, or none.",
    labels=("source",),
)
HISTORY_CELLS = Counter(
    "market_history_cells_total",
    "Cells of an index of compact history, by whether their names were kept or computed.",
    labels=("source",),
)
HISTORY_EVICTED = Counter(
    "market_history_evicted_total",
    "Chunks of compact history that made room for others in memory.",
)
HISTORY_BYTES = Gauge("market_history_cache_bytes", "Bytes of compact history in memory.")

EXPORTS = Counter(
    "market_exports_total",
    "Exports of candles as files over HTTP: whole, or cut off in the midst.",
    labels=("kind", "result"),
)
EXPORTED_CANDLES = Counter("market_exported_candles_total", "Candles written into such files.")


def ingested(started: float, *, batch: bool, failed_step: str | None) -> None:
    """Record the end of a request that posted closed candles; `started` is of perf_counter."""
    if not COLLECTING.is_on:
        return
    result = "ok" if failed_step is None else "error"
    requests = INGEST_BATCH_REQUESTS if batch else INGEST_REQUESTS
    duration = INGEST_BATCH_DURATION if batch else INGEST_DURATION
    requests.inc(1, result, failed_step or "")
    duration.observe(time.perf_counter() - started, result)


def page_answered(
    series: SeriesId, rows: int, head: int | None, started: float, *, unchanged: bool
) -> None:
    """Record an answered page of `rows` candles, or a 304; `started` is of time.perf_counter."""
    if not COLLECTING.is_on:
        return
    result = "not_modified" if unchanged else "ok"
    QUERY_REQUESTS.inc(1, result)
    QUERY_DURATION.observe(time.perf_counter() - started, result)
    if not unchanged:
        QUERY_ROWS.inc(rows)
    now = time.time()
    if head is None or SERIES.is_repeat(series, rows, head, int(now)):
        return
    label = SERIES.admit(series)
    if label is not OTHER:
        QUERY_RESULT_COUNT.set(rows, label)
        QUERY_HEAD_TIME.set(head, label)
        QUERY_HEAD_LAG.set(max(0.0, now - head), label)


def page_failed(started: float) -> None:
    """Record a page that could not be answered."""
    if COLLECTING.is_on:
        QUERY_REQUESTS.inc(1, "error")
        QUERY_DURATION.observe(time.perf_counter() - started, "error")
