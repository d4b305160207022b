"""The Celery tasks of factors: rebuilds, part by part, and the delivery of alerts.

A rebuild that is delivered twice, lost or interrupted leaves ledgers that are right as far as they
go. Deliveries are tried again until the receiver accepts.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from functools import partial

from asgiref.sync import async_to_sync
from celery import shared_task
from celery.signals import worker_shutting_down
from django.conf import settings

from factors.alerts.delivery import deliverer
from factors.rebuild import Rebuilding, StageMissing
from factors.runtime import rebuilder
from market import blocking
from market.bus.publish import publish_change
from market.domain.series import SeriesId
from market.ingest import dispatch
from market.tasks import is_stopping

log = logging.getLogger(__name__)

REBUILD = "factors.tasks.rebuild"
QUEUE = "build"
EXPIRES_S = 3600.0


def request_rebuild(series: SeriesId) -> bool:
    """Request a rebuild by a worker, or by this process beside its work. Blocking.

    False when the request could not be delivered.
    """
    return dispatch.request(
        REBUILD,
        str(series),
        expires=EXPIRES_S,
        here=partial(rebuild_beside, series),
        queue=QUEUE,
    )


@shared_task(name=REBUILD)
def rebuild(series_text: str) -> None:
    """Rebuild a series; ends between two parts when the worker does."""
    series = SeriesId.parse(series_text)
    parts = _parts(series)
    while not is_stopping() and (part := blocking.call(next, parts, None)):
        async_to_sync(publish_change)(part.change)


async def rebuild_beside(series: SeriesId) -> None:
    """Rebuild a series beside the web process's own work."""
    parts = _parts(series)
    while part := await blocking.run(next, parts, None):
        await publish_change(part.change)


def _parts(series: SeriesId) -> Iterator[Rebuilding]:
    """The parts of a rebuild, or what is left of an interrupted one; `next` computes a part."""
    worker = rebuilder()
    start = worker.start_of(series, None)
    if start is None:
        return
    try:
        yield from worker.run(series, start)
    except StageMissing:
        log.warning("%s is not rebuilt: TRADE_CANVAS_ENABLE_FACTOR_INGEST is off", series)


@shared_task(name=dispatch.DELIVER_ALERTS)
def deliver_alerts() -> None:
    """Have this worker deliver the alerts that are due; it does so beside its tasks."""
    if settings.SWITCHES.enable_alerts and not is_stopping():
        deliverer().wake()


@worker_shutting_down.connect
def _end_deliveries(**_: object) -> None:
    deliverer().stop()
