"""The tasks of Celery workers: reconcile, follow, backfill, repair.

Every task may be delivered twice or lost: each is idempotent, and reconcile asks again for what is
missing. They run in the threads pool and bound their own time: Celery can't end a thread. Follow
jobs share the event loops of their worker; the other tasks have one each.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

from celery import current_app, shared_task
from celery.signals import worker_init, worker_shutdown, worker_shutting_down
from django.conf import settings
from django.db import Error

from market import blocking
from market.domain.lease_store import Group, LeaseStoreUnavailable
from market.domain.series import SeriesId
from market.ingest import beat, coverage, dispatch, queues, supervisor
from market.ingest.derive import catch_up_all
from market.ingest.follow_job import FollowJob, runtime_ports, start_marker
from market.ingest.follow_loops import FollowLoops, Started
from market.ingest.runtime import lease_store
from market.ingest.supervisor import pinned_groups
from market.singletons import closed_by

log = logging.getLogger(__name__)

POLL_S = 0.2

# Here, not in the Celery module: that one is imported before Django's apps are loaded.
current_app.conf.beat_schedule = beat.SCHEDULE


class StopFlag:
    """Set once, at the end of the worker; a plain attribute, as a signal handler sets it."""

    is_set = False

    def __init__(self) -> None:
        self._passed_on: set[Group] = set()

    def first_time(self, group: Group) -> bool:
        """Whether this is asked for the first time of a group: no request may go in circles."""
        is_first = group not in self._passed_on
        self._passed_on.add(group)
        return is_first


STOP = StopFlag()


def request_stop() -> None:
    """Make every running task of this worker end within a few seconds."""
    STOP.is_set = True


@worker_init.connect
def _drop_stale_tasks(**_: object) -> None:
    """Drop what waited too long before the worker begins with it."""
    try:
        queues.drop_all_stale()
    except LeaseStoreUnavailable as error:
        log.warning("stale tasks were not dropped: %s", error)


@worker_shutting_down.connect
def _on_shutdown(**_: object) -> None:
    request_stop()


def is_stopping() -> bool:
    """Whether this worker ends: then its tasks do, too, at the next place where they can go on."""
    return STOP.is_set


@shared_task(name=dispatch.RECONCILE)
def reconcile() -> None:
    """Ask for the missing follow jobs; a second call within half an interval does nothing."""
    try:
        if not lease_store().claim("reconcile", ttl=settings.SWITCHES.reconcile_interval_s / 2):
            return
        started = blocking.call(supervisor.reconcile)
    except LeaseStoreUnavailable as error:
        log.warning("reconcile: %s", error)
    else:
        for group in started:
            log.info("%s: a follow job was requested", group)


@shared_task(name=dispatch.FOLLOW)
def follow(group_text: str) -> None:
    """Hand a group to this worker's event loops; a second delivery does nothing.

    A worker that is full or that may not ingest declines: then another can be asked at the next
    reconcile, not when the marker expires. One that stops asks for another at once: until its
    consumer is closed, it is sent its own requests for successors.
    """
    group = Group.parse(group_text)
    if is_stopping() or not settings.SWITCHES.ingest_jobs_enabled:
        _decline(group)
        if is_stopping() and STOP.first_time(group):
            _request_successor(group)
        return
    try:
        is_pinned = group in blocking.call(pinned_groups)
    except (Error, TimeoutError) as error:
        log.warning("%s: declined: %s", group, error)
        _decline(group)
        return
    if follow_loops().start(group, is_pinned=is_pinned) is Started.FULL:
        log.warning("%s: declined: this worker follows as many groups as it may", group)
        _decline(group)


def _decline(group: Group) -> None:
    try:
        lease_store().unclaim(start_marker(group))
    except LeaseStoreUnavailable as error:
        log.warning("%s: declined; its marker stays: %s", group, error)


@closed_by(FollowLoops.close)
def follow_loops() -> FollowLoops:
    """The event loops of this worker."""
    limit = settings.SWITCHES.follow_max_groups
    return FollowLoops(_follow, hand_over=_request_successor, limit=limit)


async def _follow(group: Group) -> bool:
    """Follow a group; True when another job should start at once.

    That is when its time is over, and when this worker stops: another one need not wait for
    reconcile to notice.
    """
    job = FollowJob(group, runtime_ports(group))
    seconds = settings.SWITCHES.follow_task_max_s
    return await job.run(stopping=is_stopping, max_seconds=seconds) or is_stopping()


def _request_successor(group: Group) -> None:
    """Ask for the next job of the group without waiting for reconcile."""
    try:
        if lease_store().claim(start_marker(group), ttl=supervisor.START_TTL_S):
            dispatch.send(dispatch.FOLLOW, str(group), expires=supervisor.START_TTL_S)
    except LeaseStoreUnavailable as error:
        log.warning("%s: handing over is left to reconcile: %s", group, error)


@worker_shutdown.connect
def _end_follow_jobs(**_: object) -> None:
    follow_loops.reset()


@shared_task(name=dispatch.BACKFILL)
def backfill(series_text: str, start: int, end: int, reason: str = coverage.GAP) -> None:
    """Fetch a range of candles (open times, inclusive); bounded by coverage.MAX_BACKFILL_S."""
    series = SeriesId.parse(series_text)
    if settings.SWITCHES.ingest_jobs_enabled:
        asyncio.run(_until_stopped(coverage.backfill_range(series, start, end, reason=reason)))


@shared_task(name=dispatch.REPAIR_GAPS)
def repair_gaps() -> None:
    """Retry the gaps of the ledger that are due."""
    if settings.SWITCHES.ingest_jobs_enabled and not is_stopping():
        asyncio.run(_until_stopped(coverage.repair_due(stopping=is_stopping)))


@shared_task(name=dispatch.DERIVE)
def derive() -> None:
    """Make what derived series lack; a second call at the same time finds nothing to do."""
    if settings.SWITCHES.ingest_jobs_enabled and not is_stopping():
        asyncio.run(_until_stopped(catch_up_all(stopping=is_stopping)))


async def _until_stopped(work: Coroutine[Any, Any, object]) -> None:
    """Run `work`, and cancel it when the worker ends; what it stored until then stays."""
    task = asyncio.create_task(work)
    while not task.done():
        if is_stopping():
            task.cancel()
        await asyncio.wait([task], timeout=POLL_S)
    if not task.cancelled():
        task.result()
