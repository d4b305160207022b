"""One job that follows the desired series of a group, for as long as it owns the group.

A lock in the lease store keeps two jobs from following one group, most of the time. A job that lost
the lock can't write: the candle store accepts only the newest fencing token of each series.
"""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol, TypeVar

from django.conf import settings
from django.db import DatabaseError

from market import blocking
from market.domain.feed import FeedRefused
from market.domain.lease_store import Group, JobReport, LeaseStore, LeaseStoreUnavailable
from market.domain.series import SeriesId
from market.domain.store import CandleStore, Fence
from market.ingest.desired import desired_series
from market.ingest.follow import Wanted, open_follower
from market.ingest.followed import UNWANTED, Report, Standing, Standings
from market.ingest.runtime import call, lease_store, process_name
from market.runtime import candle_store
from market.stopping import stop
from market.stores.postgres_errors import is_lock_timeout

log = logging.getLogger(__name__)

T = TypeVar("T")

POLL_S = 0.2
# A job with nothing to follow stays for a while, in case a page is only being reloaded.
IDLE_END_S = 5.0
RESTART_PAUSE_S = 5.0
REFUSED_PAUSE_S = 60.0
RENEWALS_A_TTL = 3
# How long series that are not pinned may hold up a look at what is desired.
DRAW_S = 1.0
REPORT_TTLS = 4


class Following(Protocol):
    """Does the work of a job: market.ingest.follow.Follower."""

    async def run(self, wanted: Wanted, stop: asyncio.Event) -> None:
        """Follow what `wanted` names, each with its fencing token, until `stop`."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class JobPorts:
    """What a follow job works with.

    `desired` blocks and returns the group's series, the pinned first.
    """

    leases: LeaseStore
    store: CandleStore
    desired: Callable[[], Mapping[SeriesId, Standing]]
    open_follower: Callable[[Report, Standings], Following]
    ttl: float


def runtime_ports(group: Group) -> JobPorts:
    """The ports of this process, as the switches say."""
    return JobPorts(
        leases=lease_store(),
        store=candle_store(),
        desired=partial(desired_of, lease_store(), group),
        open_follower=lambda report, standings: open_follower(
            group.exchange, group.market, report=report, standings=standings
        ),
        ttl=settings.SWITCHES.lease_ttl_s,
    )


def desired_of(leases: LeaseStore, group: Group) -> dict[SeriesId, Standing]:
    """The desired series of one group, the pinned first. Blocking."""
    return {
        each.series: Standing(each.is_watched, each.is_pinned, each.derived)
        for each in desired_series(leases)
        if group_of(each.series) == group
    }


def group_of(series: SeriesId) -> Group:
    """The group whose job follows a series, by this process's setting."""
    return Group.of(series, settings.SWITCHES.follow_shards)


class FollowJob:
    """Owns a group and follows its desired series."""

    def __init__(self, group: Group, ports: JobPorts) -> None:
        self._group = group
        self._ports = ports
        self._token = uuid.uuid4().hex
        self._fences: dict[SeriesId, Fence] = {}
        # Series whose lock another transaction held, with the time of the last attempt (monotonic).
        self._locked: dict[SeriesId, float] = {}
        # Series whose token no longer protects.
        self._outdated: set[SeriesId] = set()
        self._reports: dict[SeriesId, JobReport] = {}
        self._unsent: set[SeriesId] = set()
        self._standings: dict[SeriesId, Standing] = {}
        self._idle_since = time.monotonic()

    async def run(self, *, stopping: Callable[[], bool], max_seconds: float) -> bool:
        """Follow until `stopping`, replaced, idle, or `max_seconds` have passed.

        True when it ended by its time alone: then another job should start at once. Ends at once
        when the group has an owner. Errors are reported, not raised.
        """
        leases, ttl = self._ports.leases, self._ports.ttl
        if not await call(leases.take_group, self._group, self._token, ttl=ttl):
            return False
        log.info("%s: following", self._group)
        try:
            await call(leases.unclaim, start_marker(self._group))
            return await self._follow(stopping, time.monotonic() + max_seconds)
        except FeedRefused as error:
            await self._crashed(error, REFUSED_PAUSE_S)
        except Exception as error:
            log.exception("%s: the follow job failed", self._group)
            await self._crashed(error, RESTART_PAUSE_S)
        finally:
            await self._try(partial(leases.drop_reports, list(self._fences)))
            await self._try(partial(leases.release_group, self._group, self._token))
            log.info("%s: released", self._group)
        return False

    async def _follow(self, stopping: Callable[[], bool], until: float) -> bool:
        follower = self._ports.open_follower(self._collect_report, self._standing)
        end = asyncio.Event()
        keeping = asyncio.create_task(self._keep(end, stopping, until=until))
        try:
            await follower.run(self.wanted, end)
            if keeping.done():
                keeping.result()
            return not stopping() and time.monotonic() >= until
        finally:
            await stop([keeping])

    async def wanted(self) -> Mapping[SeriesId, Fence]:
        """The desired series of the group with this job's fencing tokens.

        While the lease store or the database is unavailable, the previous answer stays. In another
        generation of the store all tokens are new, so every series begins again at its stored head
        and fetches what the store has lost.

        A token may have to wait for a transaction. Pinned series are returned as soon as they have
        theirs; the next call draws those of the others, for DRAW_S at most.
        """
        try:
            desired = await blocking.run(self._ports.desired)
            generation = await blocking.run(self._ports.store.generation)
            await self._draw_fences(desired, generation)
        except (LeaseStoreUnavailable, DatabaseError, TimeoutError) as error:
            log.warning("%s: the desired series can't be read: %s", self._group, error)
            # New watchers can't be seen either.
            self._standings = {
                series: self._standing(series)._replace(is_watched=True) for series in self._fences
            }
            return dict(self._fences)
        self._standings = dict(desired)
        followed = (*self._fences, *self._locked)
        released = [series for series in followed if series not in desired]
        for series in released:
            log.info("%s: no longer desired", series)
            self._fences.pop(series, None)
            self._locked.pop(series, None)
            self._outdated.discard(series)
            self._reports.pop(series, None)
            self._unsent.discard(series)
        if released:
            await self._try(partial(self._ports.leases.drop_reports, released))
        if desired:
            self._idle_since = time.monotonic()
        # In the order of `desired`: what comes first is started first.
        return {series: self._fences[series] for series in desired if series in self._fences}

    def _standing(self, series: SeriesId) -> Standing:
        return self._standings.get(series, UNWANTED)

    def _collect_report(self, series: SeriesId, report: JobReport) -> None:
        if series in self._fences:
            self._reports[series] = replace(report, owner=process_name())
            self._unsent.add(series)

    async def _keep(
        self, end: asyncio.Event, stopping: Callable[[], bool], *, until: float
    ) -> None:
        """Renew the ownership and send reports until the job has to end; then set `end`."""
        renew_at = 0.0
        try:
            while not (stopping() or time.monotonic() >= until or self._is_idle()):
                if time.monotonic() >= renew_at:
                    renew_at = time.monotonic() + self._ports.ttl / RENEWALS_A_TTL
                    if not await self._renew():
                        log.warning("%s: another job took over", self._group)
                        break
                unsent = {series: self._reports[series] for series in self._unsent}
                if unsent:
                    self._unsent.clear()
                    ttl = REPORT_TTLS * self._ports.ttl
                    await self._try(partial(self._ports.leases.report, unsent, ttl=ttl))
                await asyncio.sleep(POLL_S)
        finally:
            # Whatever ended this: a job must not go on without renewing.
            end.set()

    def _is_idle(self) -> bool:
        return not self._fences and time.monotonic() - self._idle_since > IDLE_END_S

    async def _renew(self) -> bool:
        """Stay the owner; an unavailable lease store changes nothing, the fences still protect.

        When the lock is gone and free (the lease store restarted empty, or this process was
        suspended), another job may have followed meanwhile: new fencing tokens are needed.
        """
        self._unsent.update(self._reports)
        leases, ttl = self._ports.leases, self._ports.ttl
        if await self._try(partial(leases.renew_group, self._group, self._token, ttl=ttl)) is False:
            if not await self._try(partial(leases.take_group, self._group, self._token, ttl=ttl)):
                return False
            self._outdated.update(self._fences)
        return True

    async def _draw_fences(self, desired: Mapping[SeriesId, Standing], generation: str) -> None:
        """Draw the tokens that are missing or count no more: of pinned series, or of some others.

        Last come those whose lock was held, the longest ago first.
        """
        until = time.monotonic() + DRAW_S
        drawn: list[SeriesId] = []
        order = sorted(
            desired, key=lambda each: (not desired[each].is_pinned, self._locked.get(each, 0.0))
        )
        for series in order:
            known = self._fences.get(series)
            is_valid = known is not None and known.generation == generation
            if is_valid and series not in self._outdated:
                continue
            has_drawn_pinned = bool(drawn) and desired[drawn[-1]].is_pinned
            is_late = bool(drawn) and time.monotonic() > until
            if not desired[series].is_pinned and (has_drawn_pinned or is_late):
                break
            await self._draw_fence(series)
            drawn.append(series)

    async def _draw_fence(self, series: SeriesId) -> None:
        """Draw a new token for a series, unless another transaction holds its lock for long."""
        try:
            fence = await blocking.run(self._ports.store.next_fence, series)
        except DatabaseError as error:
            if not is_lock_timeout(error):
                raise
            self._locked[series] = time.monotonic()
            self._fences.pop(series, None)
            reason = "another transaction holds its lock"
            log.warning("%s: not followed: %s", series, reason)
            report = JobReport(state="waiting", started_at=time.time(), last_error=reason)
            self._reports[series] = replace(report, owner=process_name())
            self._unsent.add(series)
            return
        self._locked.pop(series, None)
        self._outdated.discard(series)
        self._fences[series] = fence
        # The drills look for this line in a worker's output.
        log.info("%s: following with fence %d", series, fence.number)

    async def _crashed(self, error: Exception, pause: float) -> None:
        """Report the crash for every series, and prevent a restart for `pause` seconds."""
        now = time.time()
        names = list(self._fences) or list(await self._try(self._ports.desired) or ())
        fresh = JobReport(state="waiting", started_at=now)
        reports = {
            series: replace(
                known := self._reports.get(series, fresh),
                state="waiting",
                last_error=str(error) or type(error).__name__,
                crashes=known.crashes + 1,
                last_crash_at=now,
            )
            for series in names
        }
        self._fences.clear()
        leases = self._ports.leases
        await self._try(partial(leases.report, reports, ttl=pause + self._ports.ttl))
        await self._try(partial(leases.claim, start_marker(self._group), ttl=pause))

    async def _try(self, work: Callable[[], T]) -> T | None:
        """Call the lease store; None, with a warning, while it is unavailable."""
        try:
            return await call(work)
        except (LeaseStoreUnavailable, DatabaseError) as error:
            log.warning("%s: the lease store is unavailable: %s", self._group, error)
            return None


def start_marker(group: Group) -> str:
    """The name of the marker that a job of the group was requested, or must not start yet."""
    return f"start:{group}"
