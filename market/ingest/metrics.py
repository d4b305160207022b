"""Instruments of ingest: failures of following, and Celery tasks (waiting, running, result)."""

from __future__ import annotations

import time
from typing import Any

from celery import signals

from market.domain.series import SeriesId
from market.ingest.queues import SENT_AT
from market.metrics_registry import COLLECTING, SERIES, SLOW, Counter, Gauge, Histogram

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
FOLLOW_JOBS = Gauge(
    "market_follow_jobs", "Follow jobs that run here: whitelist or on_demand.", labels=("kind",)
)
FOLLOW_FAILURES = Counter(
    "market_follow_failures_total", "Failures of following a series.", labels=("series_id",)
)

_began: dict[str, float] = {}


def follow_failed(series: SeriesId) -> None:
    """Count a failure of following a series."""
    if COLLECTING.is_on:
        FOLLOW_FAILURES.inc(1, SERIES.admit(series))


def measure_tasks() -> None:
    """Measure every Celery task that this process runs from now on."""
    signals.task_prerun.connect(_begin, weak=False, dispatch_uid="metrics.begin")
    signals.task_postrun.connect(_end, weak=False, dispatch_uid="metrics.end")


def _begin(task_id: str, task: Any, **_: object) -> None:
    _began[task_id] = time.perf_counter()
    TASKS_RUNNING.inc(1, task.name)
    sent_at = (task.request.headers or {}).get(SENT_AT) or task.request.get(SENT_AT)
    if isinstance(sent_at, float):
        TASK_WAIT.observe(max(0.0, time.time() - sent_at), task.name)


def _end(task_id: str, task: Any, state: str | None = None, **_: object) -> None:
    began = _began.pop(task_id, None)
    if began is not None:
        TASKS_RUNNING.inc(-1, task.name)
        TASKS.inc(1, task.name, "ok" if state == "SUCCESS" else "failed")
        TASK_DURATION.observe(time.perf_counter() - began, task.name)
