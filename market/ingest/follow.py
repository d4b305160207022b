"""Following the wanted series of one exchange and market: one feed, one task for each series."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from django.conf import settings

from market.domain.feed import Closed, Feed, FeedEvent, FeedRefused, Forming, Interrupted
from market.domain.lease_store import JobReport
from market.domain.series import SeriesId
from market.domain.store import Fence, StaleFence
from market.exchanges.ccxt_feed import open_feed
from market.ingest.backfill import IngestPorts, runtime_ports
from market.ingest.breaker import Breaker
from market.ingest.due import FollowLimits
from market.ingest.followed import FollowedSeries, FollowPorts, Report, Standing, Standings
from market.ingest.revisions import RevisionPace, Revisions
from market.ingest.start_up_sync import StartUpSync
from market.pipeline import SeriesDerived
from market.stopping import stop as stop_tasks

logger = logging.getLogger(__name__)

Wanted = Callable[[], Awaitable[Mapping[SeriesId, Fence]]]

# How long the feed may take to close.
CLOSE_S = 2.0

WANTED = Standing(is_watched=True, is_pinned=True)


@dataclass(slots=True)
class _Job:
    """A followed series and its task; after a refusal it may restart at `again_at` (monotonic)."""

    followed: FollowedSeries
    task: asyncio.Task[None]
    again_at: float = 0.0


class Follower:
    """Follows the series that `wanted` names, each with its fencing token.

    It owns its feed and closes it at the end of `run`. `report` is called on the event loop at
    every change and about once a second for each series; it must not block. By their `standings`,
    forming candles are published for watched series only, and pinned series come first. Closed
    candles are read again at `revision_pace`.
    """

    def __init__(
        self,
        feed: Feed,
        ports: IngestPorts,
        *,
        report: Report,
        limits: FollowLimits | None = None,
        new_breaker: Callable[[], Breaker] = Breaker,
        standings: Standings = lambda series: WANTED,
        revision_pace: RevisionPace | None = None,
    ) -> None:
        self._feed = feed
        self._limits = limits or FollowLimits()
        self._sync = StartUpSync(feed.exchange, feed.market, self._limits.sync_candles)
        self._ports = FollowPorts(
            feed=feed,
            ingest=ports,
            limits=self._limits,
            report=report,
            standings=standings,
            sync=self._sync,
        )
        self._new_breaker = new_breaker
        self._jobs: dict[SeriesId, _Job] = {}
        pace = revision_pace or RevisionPace()
        self._revisions = Revisions(feed, ports, pace=pace, joined=self._joined)

    async def run(self, wanted: Wanted, stop: asyncio.Event) -> None:
        """Follow until `stop` is set; then everything ends within about two seconds."""
        dispatching = asyncio.create_task(self._dispatch_events())
        revising = asyncio.create_task(self._revisions.run())
        try:
            while not stop.is_set():
                await self._reconcile(wanted)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._limits.tick_s):
                        await stop.wait()
        finally:
            await stop_tasks([dispatching, revising, *(job.task for job in self._jobs.values())])
            self._jobs.clear()
            try:
                async with asyncio.timeout(CLOSE_S):
                    await self._feed.close()
            except Exception:
                logger.exception("%s %s: closing failed", self._feed.exchange, self._feed.market)

    async def _reconcile(self, wanted: Wanted) -> None:
        """Start, stop and restart series so that exactly the wanted ones are followed."""
        try:
            fences = await wanted()
        except Exception:
            # Going on is harmless: a new owner of a series has a newer fencing token.
            logger.exception("the wanted series are unknown; nothing is changed")
            return
        gone = [s for s, job in self._jobs.items() if fences.get(s) != job.followed.fence]
        await stop_tasks([self._jobs.pop(series).task for series in gone])
        now = time.monotonic()
        for series, job in list(self._jobs.items()):
            if job.again_at and now >= job.again_at:
                del self._jobs[series]
        new = {series: fence for series, fence in fences.items() if series not in self._jobs}
        if new or gone:
            # The stream first: what closes while history is read is held, not missed.
            standings = self._ports.standings
            pinned = frozenset(series for series in fences if standings(series).is_pinned)
            await self._feed.follow(frozenset(fences), pinned=pinned)
        for series, fence in new.items():
            self._start(series, fence)
        for job in self._jobs.values():
            if not job.task.done():
                job.followed.send_report()

    def _joined(self) -> dict[SeriesId, Fence]:
        """The series that are followed up to the present, with their fencing tokens."""
        return {
            series: job.followed.fence
            for series, job in self._jobs.items()
            if job.followed.has_joined and not job.task.done()
        }

    def _start(self, series: SeriesId, fence: Fence) -> None:
        self._sync.begin(series)
        followed = FollowedSeries(series, fence, ports=self._ports, breaker=self._new_breaker())
        job = _Job(followed, asyncio.create_task(followed.run(), name=f"follow {series}"))
        job.task.add_done_callback(lambda task: self._ended(series, job, task))
        self._jobs[series] = job

    def _ended(self, series: SeriesId, job: _Job, task: asyncio.Task[None]) -> None:
        """Report a task that ended with an error; it stays listed, so it is not restarted now."""
        self._sync.ended(series)
        error = None if task.cancelled() else task.exception()
        if error is None:
            return
        if isinstance(error, StaleFence):
            logger.info("%s: another job follows it now", series)
            return
        if isinstance(error, SeriesDerived):
            logger.warning("not followed: %s", error)
        elif not isinstance(error, FeedRefused):
            logger.error("%s: following ended", series, exc_info=error)
        job.again_at = time.monotonic() + self._limits.refused_s
        refused = JobReport(state="waiting", started_at=time.time(), last_error=str(error))
        self._ports.report(series, refused)

    async def _dispatch_events(self) -> None:
        """Pass every event to its series; no series can delay another here."""
        async for event in self._feed.events():
            try:
                self._dispatch(event)
            except Exception:
                logger.exception("an event was lost: %r", event)

    def _dispatch(self, event: FeedEvent) -> None:
        if isinstance(event, Interrupted):
            for series, job in self._jobs.items():
                if event.series in (None, series):
                    job.followed.interrupted(event.reason)
            return
        found = self._jobs.get(event.series)
        if found is None or found.task.done():
            return
        if isinstance(event, Closed):
            found.followed.closed(event.candle)
        elif isinstance(event, Forming):
            found.followed.forming(event.candle)


def limits_from_switches() -> FollowLimits:
    """The pace that the switches ask for."""
    switches = settings.SWITCHES
    synced = switches.startup_kline_sync_target_candles
    return FollowLimits(
        new_series_candles=synced,
        sync_candles=synced if switches.enable_startup_kline_sync else 0,
        batch_max=switches.binance_ws_batch_max,
        flush_s=switches.binance_ws_flush_s,
        forming_interval_s=switches.market_forming_min_interval_ms / 1000,
    )


def revision_pace_from_switches() -> RevisionPace:
    """How closed candles are read again, as the switches ask."""
    switches = settings.SWITCHES
    return RevisionPace(
        candles=switches.revision_check_candles,
        interval_s=switches.revision_check_interval_s if switches.enable_revision_check else 0.0,
    )


def open_follower(exchange: str, market: str, *, report: Report, standings: Standings) -> Follower:
    """A follower on this process's store and bus; raises FeedRefused for an unknown exchange."""
    guarded = settings.SWITCHES.enable_ingest_loop_guardrail
    return Follower(
        open_feed(exchange, market),
        runtime_ports(),
        report=report,
        limits=limits_from_switches(),
        new_breaker=lambda: Breaker(enabled=guarded),
        standings=standings,
        revision_pace=revision_pace_from_switches(),
    )
