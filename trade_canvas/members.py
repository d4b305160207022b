"""What every process of the installation does beside its work: it tells that it lives, and how.

Web processes call `begin_web` and `end_web`; workers and beat are reached through Celery's signals.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any, Protocol

from celery import signals
from django.conf import settings

from market.domain.lease_store import LeaseStoreUnavailable
from market.ingest import dispatch
from market.ingest.metrics import measure_tasks
from market.ingest.presence import BEAT, WEB, WORKER, Presence, tell_reconciled
from market.live import current
from trade_canvas import metrics
from trade_canvas.edge import request_ids as logs_requests
from trade_canvas.edge.metrics_endpoint import MetricsServer

# Its handlers of Celery's signals are wanted in every process that sends or runs tasks.
__all__ = ["begin_web", "end", "logs_requests"]

log = logging.getLogger(__name__)

LOOK_S = 0.25


class Part(Protocol):
    """Something that runs beside a process's work."""

    def start(self) -> None: ...
    def stop(self) -> None: ...


_running: list[Part] = []


if settings.SWITCHES.collects_metrics:
    measure_tasks()


class LoopWatch:
    """Measures how late the running event loop wakes up: what holds it up delays every watcher."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._due = 0.0
        self._ended = False

    def start(self) -> None:
        """Begin, on the loop."""
        self._due = self._loop.time() + LOOK_S
        self._loop.call_at(self._due, self._look)

    def stop(self) -> None:
        """End, from any thread."""
        self._ended = True

    def _look(self) -> None:
        if self._ended:
            return
        metrics.LOOP_LAG.observe(max(0.0, self._loop.time() - self._due))
        self.start()


def begin_web() -> None:
    """Tell that this web process lives, and watch its event loop, which must be running."""
    _begin(Presence(WEB, load=current.load))
    if settings.SWITCHES.collects_metrics:
        _begin(LoopWatch())


def end() -> None:
    """Tell that this process ends. Blocking, for at most some seconds."""
    while _running:
        _running.pop().stop()


def _begin(part: Part) -> None:
    _running.append(part)
    part.start()


@signals.worker_ready.connect
def _begin_worker(**_: object) -> None:
    _begin(Presence(WORKER))
    switches = settings.SWITCHES
    if switches.enable_capacity_metrics and switches.metrics_port:
        _begin(MetricsServer(switches.metrics_host, switches.metrics_port))


@signals.beat_init.connect
def _begin_beat(**_: object) -> None:
    _begin(Presence(BEAT))


@signals.worker_shutdown.connect
def _end(**_: object) -> None:
    end()


@signals.task_success.connect
def _ran(sender: Any = None, **_: object) -> None:
    if sender is not None and sender.name == dispatch.RECONCILE:
        try:
            tell_reconciled()
        except LeaseStoreUnavailable as error:
            log.warning("a round of reconcile is not told of: %s", error)
