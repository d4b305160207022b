"""Celery tasks as metrics: how long they waited, how long they ran, how they ended."""

from __future__ import annotations

import time
from typing import Any

from celery import signals

from market import metrics
from market.ingest.queues import SENT_AT

_began: dict[str, float] = {}


def connect() -> None:
    """Measure every task that this process sends or runs from now on."""
    signals.before_task_publish.connect(_stamp, weak=False, dispatch_uid="metrics.stamp")
    signals.task_prerun.connect(_begin, weak=False, dispatch_uid="metrics.begin")
    signals.task_postrun.connect(_end, weak=False, dispatch_uid="metrics.end")


def _stamp(headers: dict[str, Any] | None = None, **_: object) -> None:
    if headers is not None:
        headers[SENT_AT] = time.time()


def _begin(task_id: str, task: Any, **_: object) -> None:
    _began[task_id] = time.perf_counter()
    metrics.TASKS_RUNNING.inc(1, task.name)
    sent_at = (task.request.headers or {}).get(SENT_AT) or task.request.get(SENT_AT)
    if isinstance(sent_at, float):
        metrics.TASK_WAIT.observe(max(0.0, time.time() - sent_at), task.name)


def _end(task_id: str, task: Any, state: str | None = None, **_: object) -> None:
    began = _began.pop(task_id, None)
    if began is not None:
        metrics.TASKS_RUNNING.inc(-1, task.name)
        metrics.TASKS.inc(1, task.name, "ok" if state == "SUCCESS" else "failed")
        metrics.TASK_DURATION.observe(time.perf_counter() - began, task.name)
