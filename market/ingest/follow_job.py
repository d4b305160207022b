"""One job that follows the desired series of a group, for as long as it owns the group.

The lock in the lease store keeps two jobs of a group from working at once most of the time; the
fencing token that the candle store gave for each series keeps a job that lost it from writing.
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
from market.domain.store import CandleStore
from market.ingest.desired import desired_series
from market.ingest.follow import Wanted, open_follower
from market.ingest.followed import IsWatched, Report
from market.ingest.runtime import ask, lease_store, process_name
from market.runtime import candle_store
from market.stopping import stop

log = logging.getLogger(__name__)

T = TypeVar("T")

LOOK_S = 0.2
# A job with nothing to follow stays a little: a page that is reloaded finds it still there.
IDLE_END_S = 5.0
RESTART_PAUSE_S = 5.0
REFUSED_PAUSE_S = 60.0
RENEWALS_A_TTL = 3
REPORT_TTLS = 4


class Following(Protocol):
    """What does the work of a job: market.ingest.follow.Follower."""

    async def run(self, wanted: Wanted, stop: asyncio.Event) -> None:
        """Follow what `wanted` names, each with its fencing token, until `stop`."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class JobPorts:
    """What a follow job works with.

    `desired` blocks; it names the group's series, and tells of each whether it is watched.
    """

    lease_store: LeaseStore
    store: CandleStore
    desired: Callable[[], Mapping[SeriesId, bool]]
    open_follower: Callable[[Report, IsWatched], Following]
    ttl: float


def runtime_ports(group: Group) -> JobPorts:
    """This process's own, as the switches say."""
    return JobPorts(
        lease_store=lease_store(),
        store=candle_store(),
        desired=partial(desired_of, lease_store(), group),
        open_follower=lambda report, is_watched: open_follower(
            group.exchange, group.market, report=report, is_watched=is_watched
        ),
        ttl=settings.SWITCHES.lease_ttl_s,
    )


def desired_of(lease_store: LeaseStore, group: Group) -> dict[SeriesId, bool]:
    """The desired series of one group, and whether each is watched. Blocking."""
    return {
        each.series: each.is_watched
        for each in desired_series(lease_store)
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
        self._fences: dict[SeriesId, int] = {}
        self._reports: dict[SeriesId, JobReport] = {}
        self._unsent: set[SeriesId] = set()
        self._watched: set[SeriesId] = set()
        self._idle_since = time.monotonic()
        self._must_fence_anew = False

    async def run(self, *, stopping: Callable[[], bool], max_seconds: float) -> bool:
        """Follow until told to stop, replaced, idle, or `max_seconds` are over.

        True when it ended by its time alone, so that another should go on at once. A job whose
        group has an owner ends at once. What goes wrong is reported, not raised.
        """
        ports = self._ports
        if not await ask(ports.lease_store.take_group, self._group, self._token, ttl=ports.ttl):
            return False
        log.info("%s: following", self._group)
        try:
            await ask(ports.lease_store.unclaim, start_marker(self._group))
            return await self._follow(stopping, time.monotonic() + max_seconds)
        except FeedRefused as error:
            await self._crashed(error, REFUSED_PAUSE_S)
        except Exception as error:
            log.exception("%s: the follow job failed", self._group)
            await self._crashed(error, RESTART_PAUSE_S)
        finally:
            await self._give_up()
        return False

    async def _follow(self, stopping: Callable[[], bool], until: float) -> bool:
        follower = self._ports.open_follower(self._note, self._is_watched)
        end = asyncio.Event()
        watch = asyncio.create_task(self._watch(end, stopping, until=until))
        try:
            await follower.run(self.wanted, end)
            if watch.done():
                watch.result()
            return not stopping() and time.monotonic() >= until
        finally:
            await stop([watch])

    async def wanted(self) -> Mapping[SeriesId, int]:
        """The desired series of the group with this job's fencing tokens.

        While the lease store or the database is away it is what it was: nobody stops watching
        because of that.
        """
        try:
            desired = await blocking.run(self._ports.desired)
            fences_anew, self._must_fence_anew = self._must_fence_anew, False
            for series in desired:
                if fences_anew or series not in self._fences:
                    fence = await blocking.run(self._ports.store.next_fence, series)
                    self._fences[series] = fence
                    log.info("%s: following with fence %d", series, fence)
        except (LeaseStoreUnavailable, DatabaseError, TimeoutError) as error:
            log.warning("%s: what is desired can't be read: %s", self._group, error)
            # Nor can be who has come to watch.
            self._watched = set(self._fences)
            return dict(self._fences)
        self._watched = {series for series, is_watched in desired.items() if is_watched}
        await self._drop([series for series in self._fences if series not in desired])
        if desired:
            self._idle_since = time.monotonic()
        return dict(self._fences)

    def _is_watched(self, series: SeriesId) -> bool:
        return series in self._watched

    async def _drop(self, released: list[SeriesId]) -> None:
        for series in released:
            log.info("%s: released", series)
            del self._fences[series]
            self._reports.pop(series, None)
            self._unsent.discard(series)
        if released:
            await self._try(partial(self._ports.lease_store.drop_reports, released))

    async def _watch(
        self, end: asyncio.Event, stopping: Callable[[], bool], *, until: float
    ) -> None:
        """Set `end` when the job has to; renew the ownership and send reports until then."""
        renew_at = 0.0
        try:
            while not (stopping() or time.monotonic() >= until or self._is_idle()):
                if time.monotonic() >= renew_at:
                    renew_at = time.monotonic() + self._ports.ttl / RENEWALS_A_TTL
                    if not await self._renew():
                        log.warning("%s: somebody else took over", self._group)
                        break
                await self._send_reports()
                await asyncio.sleep(LOOK_S)
        finally:
            # A job must not go on unwatched, whatever ended the watch.
            end.set()

    def _is_idle(self) -> bool:
        return not self._fences and time.monotonic() - self._idle_since > IDLE_END_S

    async def _renew(self) -> bool:
        """Stay the owner; an unreachable lease store takes nothing from us, the fences see to that.

        When the lock is gone and free (the lease store was emptied, or we were suspended), somebody
        may have followed meanwhile: our fencing tokens count no more, new ones are taken.
        """
        self._unsent.update(self._reports)
        known, ttl = self._ports.lease_store, self._ports.ttl
        if await self._try(partial(known.renew_group, self._group, self._token, ttl=ttl)) is False:
            if not await self._try(partial(known.take_group, self._group, self._token, ttl=ttl)):
                return False
            self._must_fence_anew = True
        return True

    def _note(self, series: SeriesId, report: JobReport) -> None:
        if series in self._fences:
            self._reports[series] = replace(report, owner=process_name())
            self._unsent.add(series)

    async def _send_reports(self) -> None:
        unsent = {series: self._reports[series] for series in self._unsent}
        if unsent:
            self._unsent.clear()
            await self._try(
                partial(self._ports.lease_store.report, unsent, ttl=REPORT_TTLS * self._ports.ttl)
            )

    async def _crashed(self, error: Exception, pause: float) -> None:
        """Report the crash for every series, and keep the next job from starting at once."""
        now = time.time()
        names = list(self._fences) or list(await self._try(self._ports.desired) or ())
        fresh = JobReport(state="waiting", started_at=now)
        told = {
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
        await self._try(partial(self._ports.lease_store.report, told, ttl=pause + self._ports.ttl))
        await self._try(
            partial(self._ports.lease_store.claim, start_marker(self._group), ttl=pause)
        )

    async def _give_up(self) -> None:
        followed = list(self._fences)
        await self._try(partial(self._ports.lease_store.drop_reports, followed))
        await self._try(partial(self._ports.lease_store.release_group, self._group, self._token))
        log.info("%s: given up", self._group)

    async def _try(self, call: Callable[[], T]) -> T | None:
        """Ask the lease store; None, with a warning, when it can't be reached."""
        try:
            return await ask(call)
        except (LeaseStoreUnavailable, DatabaseError) as error:
            log.warning("%s: the lease store is away: %s", self._group, error)
            return None


def start_marker(group: Group) -> str:
    """The name of the marker that a job of the group was asked for, or must wait."""
    return f"start:{group}"
