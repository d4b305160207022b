"""The Celery tasks of replay packages, of retention and of ledgers that are behind, part by part.

A task that is delivered twice, lost or interrupted leaves its parts; the next one goes on there.
"""

from __future__ import annotations

import asyncio
import logging
from functools import partial

from celery import shared_task
from django.conf import settings
from django.db import DatabaseError

from market import blocking
from market.domain.lease_store import LeaseStoreUnavailable
from market.domain.series import SeriesId
from market.domain.store import StoreUnavailable
from market.ingest import dispatch
from market.ingest.runtime import lease_store
from market.ingest.supervisor import RETENTION_INTERVAL_S
from market.tasks import is_stopping
from overlays import bring_up as ledgers
from overlays import runtime
from overlays.replay import jobs
from overlays.retention import NotNow, Retention

log = logging.getLogger(__name__)

REMOVED_AT_ONCE = 100_000
"""Rows after which one run of the retention task leaves the rest to the next."""

BUILD_REPLAY = "overlays.tasks.build_replay"
QUEUE = "build"
EXPIRES_S = 3600.0


def request_build(key: str) -> bool:
    """Have a package built by a worker, or by this process beside its work. Blocking.

    False when the request could not be delivered.
    """
    return dispatch.request(
        BUILD_REPLAY, key, expires=EXPIRES_S, here=partial(build_beside, key), queue=QUEUE
    )


@shared_task(name=BUILD_REPLAY)
def build_replay(key: str) -> None:
    """Build a package; ends between two parts when the worker does."""
    parts = jobs.parts(key)
    while not is_stopping() and blocking.call(next, parts, None) is not None:
        pass


async def build_beside(key: str) -> None:
    """Build a package beside the web process's own work, on its database threads."""
    parts = jobs.parts(key)
    while await blocking.run(next, parts, None) is not None:
        pass


@shared_task(name=dispatch.BRING_UP)
def bring_up(series_text: str = "") -> None:
    """Bring the ledgers of a series up to its candles, or of all series whose past is at rest.

    One turn's work; a second call for a series that is being worked on does nothing.
    """
    if not settings.SWITCHES.ingest_jobs_enabled or is_stopping():
        return
    work = (
        ledgers.bring_up(SeriesId.parse(series_text), stopping=is_stopping)
        if series_text
        else ledgers.bring_up_all(stopping=is_stopping)
    )
    try:
        asyncio.run(work)
    except (LeaseStoreUnavailable, DatabaseError, TimeoutError) as error:
        log.warning("ledgers that are behind are left to the next round: %s", error)


@shared_task(name=dispatch.RETENTION)
def retention() -> None:
    """Remove what is older than its timeframe keeps, up to REMOVED_AT_ONCE rows.

    A second call within half an interval does nothing.
    """
    if not (settings.SWITCHES.enable_retention and settings.SWITCHES.enable_pg_store):
        return
    try:
        if not lease_store().claim("retention", ttl=RETENTION_INTERVAL_S / 2):
            return
    except LeaseStoreUnavailable as error:
        log.warning("retention: %s", error)
        return
    blocking.call(remove_some, runtime.retention())


def remove_some(work: Retention, most: int = REMOVED_AT_ONCE) -> int:
    """Remove what is due of all series; return how many rows. One that fails is left to later."""
    removed = 0
    for series in work.series():
        before = removed
        try:
            for done in work.remove(series):
                removed += sum(done.values())
                if is_stopping() or removed >= most:
                    return removed
        except NotNow as reason:
            log.debug("%s: nothing is removed: %s", series, reason)
        except (StoreUnavailable, DatabaseError) as error:
            log.warning("%s: removing old candles is left to later: %s", series, error)
        if removed > before:
            log.info("%s: %d rows removed by retention", series, removed - before)
    return removed
