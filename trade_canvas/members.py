"""What every process of the installation does beside its work: it tells that it lives, and how.

Web processes call `begin_web` and `end_web`; workers and beat are reached through Celery's signals.
"""

from __future__ import annotations

import logging
from typing import Any

from celery import signals
from django.conf import settings

from market import metrics_tasks
from market.domain.registry import RegistryUnavailable
from market.ingest import dispatch
from market.ingest.presence import BEAT, WEB, WORKER, Presence, tell_reconciled
from market.live import current
from trade_canvas.metrics_endpoint import MetricsServer

log = logging.getLogger(__name__)

_running: list[Presence | MetricsServer] = []


if settings.SWITCHES.collects_metrics:
    metrics_tasks.connect()


def begin_web() -> None:
    """Tell that this web process lives."""
    _begin(Presence(WEB, load=current.load))


def end() -> None:
    """Tell that this process ends. Blocking, for at most some seconds."""
    while _running:
        _running.pop().stop()


def _begin(part: Presence | MetricsServer) -> None:
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
        except RegistryUnavailable as error:
            log.warning("a round of reconcile is not told of: %s", error)
