"""Compares what is desired with what is followed, starts what is missing, and shows the state.

`reconcile` may run anywhere, at any time and concurrently: it only requests follow jobs, and the
lease store lets one job own a group.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from typing import Any

from django.conf import settings
from django.db import DatabaseError

from market import blocking
from market.domain.lease_store import Group, JobReport, LeaseStore, LeaseStoreUnavailable
from market.domain.series import SeriesId
from market.ingest import dispatch
from market.ingest.coverage import repair_due
from market.ingest.derive import catch_up_all
from market.ingest.desired import Desired, desired_series, pinned_series, whitelisted_series
from market.ingest.follow_job import FollowJob, JobPorts, group_of, runtime_ports, start_marker
from market.ingest.ledgers import bring_up_all
from market.ingest.runtime import call, lease_store

log = logging.getLogger(__name__)

# How long a worker may take to start a job before another one is requested.
START_TTL_S = 10.0
REPAIR_INTERVAL_S = 30.0
DERIVE_INTERVAL_S = 15.0
RETENTION_INTERVAL_S = 60.0
BRING_UP_INTERVAL_S = 10.0
PINNED = -1


def groups_to_start(leases: LeaseStore) -> list[Group]:
    """Groups with desired series and no owner, each returned to one caller only. Blocking.

    Those with whitelisted series come first.
    """
    switches = settings.SWITCHES
    if not switches.ingest_jobs_enabled:
        return []
    desired = desired_series(leases)
    pinned = {group_of(each.series) for each in desired if each.is_pinned}
    others = {group_of(each.series) for each in desired} - pinned
    groups = [*sorted(pinned), *sorted(others)]
    owned = leases.owned_groups(groups)
    return [
        group
        for group in groups
        if group not in owned and leases.claim(start_marker(group), ttl=START_TTL_S)
    ]


def pinned_groups() -> set[Group]:
    """The groups that have whitelisted series. Blocking."""
    return {group_of(each) for each in pinned_series()}


def reconcile() -> list[Group]:
    """Request the missing follow jobs from the workers and return their groups. Blocking."""
    leases = lease_store()
    missing = groups_to_start(leases)
    for group in missing:
        if not dispatch.send(dispatch.FOLLOW, str(group), expires=START_TTL_S):
            leases.unclaim(start_marker(group))
    return missing


def ingest_state() -> dict[str, Any]:
    """The jobs and switches in the shape of /api/market/debug/ingest_state. Blocking."""
    switches = settings.SWITCHES
    return {
        "jobs": _jobs(),
        "whitelist_series_ids": sorted(map(str, whitelisted_series())),
        "ondemand_max_jobs": switches.ondemand_max_jobs,
        "whitelist_ingest_enabled": switches.enable_whitelist_ingest,
        "ingest_role_guard_enabled": switches.enable_ingest_role_guard,
        "ingest_role": switches.ingest_role,
        "ingest_jobs_enabled": switches.ingest_jobs_enabled,
        "loop_guardrail_enabled": switches.enable_ingest_loop_guardrail,
    }


def _jobs() -> list[dict[str, Any]]:
    leases = lease_store()
    try:
        desired = desired_series(leases)
        reports = leases.reports([each.series for each in desired])
    except LeaseStoreUnavailable as error:
        log.warning("ingest_state without jobs: %s", error)
        return []
    by_id = sorted(desired, key=lambda each: str(each.series))
    return [_job(each, reports.get(each.series)) for each in by_id]


def _job(desired: Desired, report: JobReport | None) -> dict[str, Any]:
    lease = desired.lease
    is_idle = lease is not None and not lease.leases and not desired.is_pinned
    shown = report or JobReport(state="starting", started_at=0.0)
    return {
        "series_id": str(desired.series),
        "source": f"{desired.series.exchange}_ws",
        "refcount": PINNED if desired.is_pinned else (lease.leases if lease else 0),
        "last_zero_at": lease.leased_until if lease and is_idle else None,
        "started_at": shown.started_at or None,
        "crashes": shown.crashes,
        "last_crash_at": shown.last_crash_at,
        "running": report is not None,
        "guardrail": shown.guardrail,
        "state": shown.state,
        "last_error": shown.last_error,
        "last_candle_time": shown.last_candle_time,
        "is_halted": shown.is_halted,
        "refused_rows": shown.refused_rows,
        "live": None if report is None else "stream" if report.polled is None else "poll",
        "polled_because": shown.polled,
    }


def reports_of(series: list[SeriesId]) -> dict[SeriesId, JobReport]:
    """The reports of some series; none while the lease store is unavailable. Blocking."""
    try:
        return lease_store().reports(series)
    except LeaseStoreUnavailable as error:
        log.warning("reports can't be read: %s", error)
        return {}


class InProcess:
    """Reconciles and follows inside the web process, as asyncio tasks."""

    def __init__(
        self,
        *,
        ports_of: Callable[[Group], JobPorts] = runtime_ports,
        interval: float,
        repair_interval: float = REPAIR_INTERVAL_S,
    ) -> None:
        self._ports_of = ports_of
        self._interval = interval
        self._repair_interval = repair_interval
        self._jobs: dict[asyncio.Task[bool], bool] = {}
        self._loops: list[asyncio.Task[None]] = []
        self._end = asyncio.Event()

    def start(self) -> None:
        """Start on the running event loop."""
        dispatch.BACKGROUND.open()
        if settings.SWITCHES.ingest_jobs_enabled:
            repair = partial(repair_due, stopping=self._end.is_set)
            self._loops = [
                asyncio.create_task(self._every(self._interval, self._reconcile)),
                asyncio.create_task(self._every(self._repair_interval, repair)),
            ]
            if settings.SWITCHES.enable_derived_timeframes:
                catch_up = partial(catch_up_all, stopping=self._end.is_set)
                deriving = self._every(DERIVE_INTERVAL_S, catch_up)
                self._loops.append(asyncio.create_task(deriving))
            if settings.SWITCHES.enable_factor_ingest:
                bring_up = partial(bring_up_all, stopping=self._end.is_set)
                bringing_up = self._every(BRING_UP_INTERVAL_S, bring_up)
                self._loops.append(asyncio.create_task(bringing_up))

    async def stop(self) -> None:
        """End every job and release its group."""
        self._end.set()
        await dispatch.BACKGROUND.close()
        await asyncio.gather(*self._loops, *self._jobs, return_exceptions=True)

    async def _every(self, interval: float, work: Callable[[], Any]) -> None:
        while not self._end.is_set():
            try:
                await work()
            except (LeaseStoreUnavailable, DatabaseError, TimeoutError) as error:
                log.warning("ingest is not reconciled: %s", error)
            except Exception:
                log.exception("ingest supervision failed")
            try:
                await asyncio.wait_for(self._end.wait(), interval)
            except TimeoutError:
                continue

    async def _reconcile(self) -> None:
        groups = await blocking.run(groups_to_start, lease_store())
        pinned = await blocking.run(pinned_groups) if groups else set()
        for group in groups:
            on_demand = sum(not is_pinned for is_pinned in self._jobs.values())
            if group not in pinned and on_demand >= settings.SWITCHES.follow_max_groups:
                await call(lease_store().unclaim, start_marker(group))
                continue
            job = asyncio.create_task(self._follow(group), name=f"follow {group}")
            self._jobs[job] = group in pinned
            job.add_done_callback(lambda ended: self._jobs.pop(ended, None))

    async def _follow(self, group: Group) -> bool:
        job = FollowJob(group, self._ports_of(group))
        seconds = settings.SWITCHES.follow_task_max_s
        return await job.run(stopping=self._end.is_set, max_seconds=seconds)


_running: list[InProcess] = []


async def start_in_process() -> None:
    """Start ingest inside this process, on the running event loop."""
    if not _running:
        ingest = InProcess(interval=settings.SWITCHES.reconcile_interval_s)
        ingest.start()
        _running.append(ingest)


async def stop_in_process() -> None:
    """End what start_in_process started and release the followed series."""
    while _running:
        await _running.pop().stop()
