"""What runs in each process besides its work: its heartbeat, its metrics, its event loop's lag.

The web server calls `start_web` and `stop`; in workers and beat Celery's signals do.
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
from market.ingest.presence import BEAT, WEB, WORKER, Presence, announce_reconcile
from market.live import current
from trade_canvas import metrics
from trade_canvas.edge import request_ids
from trade_canvas.edge.metrics_endpoint import MetricsServer

# request_ids is imported for its handlers of Celery's signals.
__all__ = ["request_ids", "start_web", "stop"]

log = logging.getLogger(__name__)

LOOK_S = 0.25


class Part(Protocol):
    """Something that runs besides a process's work."""

    def start(self) -> None: ...
    def stop(self) -> None: ...


_running: list[Part] = []


if settings.SWITCHES.collects_metrics:
    measure_tasks()


class LoopWatch:
    """Measures how late the running event loop wakes up: such a delay reaches every watcher."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._due = 0.0
        self._stopped = False

    def start(self) -> None:
        """Start; to be called on the loop."""
        self._due = self._loop.time() + LOOK_S
        self._loop.call_at(self._due, self._look)

    def stop(self) -> None:
        """Stop; from any thread."""
        self._stopped = True

    def _look(self) -> None:
        if not self._stopped:
            metrics.LOOP_LAG.observe(max(0.0, self._loop.time() - self._due))
            self.start()


def start_web() -> None:
    """Start a web process's parts, on its running event loop."""
    _start(Presence(WEB, load=current.load))
    if settings.SWITCHES.collects_metrics:
        _start(LoopWatch())


def stop() -> None:
    """Stop this process's parts. Blocks for at most a few seconds."""
    while _running:
        _running.pop().stop()


def _start(part: Part) -> None:
    _running.append(part)
    part.start()


@signals.worker_ready.connect
def _start_worker(**_: object) -> None:
    _start(Presence(WORKER))
    switches = settings.SWITCHES
    if switches.enable_capacity_metrics and switches.metrics_port:
        _start(MetricsServer(switches.metrics_host, switches.metrics_port))


@signals.beat_init.connect
def _start_beat(**_: object) -> None:
    _start(Presence(BEAT))


@signals.worker_shutdown.connect
def _stop_worker(**_: object) -> None:
    stop()


@signals.task_success.connect
def _note_reconcile(sender: Any = None, **_: object) -> None:
    if sender is not None and sender.name == dispatch.RECONCILE:
        try:
            announce_reconcile()
        except LeaseStoreUnavailable as error:
            log.warning("a round of reconcile was not recorded: %s", error)
