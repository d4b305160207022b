"""Following the wanted series of one exchange and market: one feed, one task a series."""

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
from market.domain.store import StaleFence
from market.exchanges.ccxt_feed import open_feed
from market.ingest.backfill import IngestPorts, runtime_ports
from market.ingest.breaker import Breaker
from market.ingest.follow_limits import FollowLimits
from market.ingest.followed import FollowedSeries, Report
from market.stopping import stop as stop_tasks

__all__ = [
    "FollowLimits",
    "Follower",
    "IsWatched",
    "Report",
    "Wanted",
    "limits_from_switches",
    "open_follower",
]

logger = logging.getLogger(__name__)

Wanted = Callable[[], Awaitable[Mapping[SeriesId, int]]]
IsWatched = Callable[[SeriesId], bool]

# Series that read history at the same time.
READING = 4

# How long the feed may take to hang up.
_CLOSE_S = 2.0


@dataclass(slots=True)
class _Job:
    """A followed series and its task; `again_at` (monotonic) ends the rest after a refusal."""

    followed: FollowedSeries
    task: asyncio.Task[None]
    again_at: float = 0.0


class Follower:
    """Follows what `wanted` names, with the fencing token that is owned for each series.

    It owns its feed and closes it at the end of `run`. `report` is called from the event loop
    about once a second for each series and at changes; it must not block. Forming candles are
    announced of what `is_watched`.
    """

    def __init__(
        self,
        feed: Feed,
        ports: IngestPorts,
        *,
        report: Report,
        limits: FollowLimits | None = None,
        new_breaker: Callable[[], Breaker] = Breaker,
        is_watched: IsWatched = lambda series: True,
    ) -> None:
        self._feed = feed
        self._ports = ports
        self._report = report
        self._limits = limits or FollowLimits()
        self._new_breaker = new_breaker
        self._is_watched = is_watched
        self._reading = asyncio.Semaphore(READING)
        self._jobs: dict[SeriesId, _Job] = {}

    async def run(self, wanted: Wanted, stop: asyncio.Event) -> None:
        """Follow until `stop` is set; everything has ended within about two seconds then."""
        hearing = asyncio.create_task(self._hear())
        try:
            while not stop.is_set():
                await self._reconcile(wanted)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._limits.tick_s):
                        await stop.wait()
        finally:
            await self._end([hearing, *(job.task for job in self._jobs.values())])

    async def _end(self, tasks: list[asyncio.Task[None]]) -> None:
        await stop_tasks(tasks)
        self._jobs.clear()
        try:
            async with asyncio.timeout(_CLOSE_S):
                await self._feed.close()
        except Exception:
            logger.exception("%s %s: closing failed", self._feed.exchange, self._feed.market)

    async def _reconcile(self, wanted: Wanted) -> None:
        try:
            tokens = await wanted()
        except Exception:
            # Whoever owns the series by now has a newer token, so going on can do no harm.
            logger.exception("what to follow is not known, nothing is changed")
            return
        gone = [s for s, job in self._jobs.items() if tokens.get(s) != job.followed.fence]
        await self._drop(gone)
        self._retry_refused()
        new = {series: fence for series, fence in tokens.items() if series not in self._jobs}
        if new or gone:
            # Live first: what closes while history is read is held, not missed.
            await self._feed.follow(frozenset(tokens))
        for series, fence in new.items():
            self._start(series, fence)
        for job in self._jobs.values():
            if not job.task.done():
                job.followed.tell()

    async def _drop(self, gone: list[SeriesId]) -> None:
        await stop_tasks([self._jobs.pop(series).task for series in gone])

    def _retry_refused(self) -> None:
        now = time.monotonic()
        for series, job in list(self._jobs.items()):
            if job.again_at and now >= job.again_at:
                del self._jobs[series]

    def _start(self, series: SeriesId, fence: int) -> None:
        followed = FollowedSeries(
            series,
            fence,
            feed=self._feed,
            ports=self._ports,
            limits=self._limits,
            breaker=self._new_breaker(),
            reading=self._reading,
            report=self._report,
            is_watched=self._is_watched,
        )
        job = _Job(followed, asyncio.create_task(followed.run(), name=f"follow {series}"))
        job.task.add_done_callback(lambda task: self._ended(series, job, task))
        self._jobs[series] = job

    def _ended(self, series: SeriesId, job: _Job, task: asyncio.Task[None]) -> None:
        """A task that ended by itself stays in the books, so that it is not started anew."""
        error = None if task.cancelled() else task.exception()
        if error is None:
            return
        if isinstance(error, StaleFence):
            logger.info("%s: somebody else follows it now", series)
            return
        if not isinstance(error, FeedRefused):
            logger.error("%s: following ended", series, exc_info=error)
        job.again_at = time.monotonic() + self._limits.refused_s
        refused = JobReport(state="waiting", started_at=time.time(), last_error=str(error))
        self._report(series, refused)

    async def _hear(self) -> None:
        """Hand every event to its series; no series can hold up another here."""
        async for event in self._feed.events():
            try:
                self._hand(event)
            except Exception:
                logger.exception("an event was lost: %r", event)

    def _hand(self, event: FeedEvent) -> None:
        if isinstance(event, Interrupted):
            for series, job in self._jobs.items():
                if event.series in (None, series):
                    job.followed.interrupted(event.reason)
            return
        job_of = self._jobs.get(event.series)
        if job_of is None or job_of.task.done():
            return
        if isinstance(event, Closed):
            job_of.followed.closed(event.candle)
        elif isinstance(event, Forming):
            job_of.followed.forming(event.candle)


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


def open_follower(exchange: str, market: str, *, report: Report, is_watched: IsWatched) -> Follower:
    """A follower on this process's store and bus; raises FeedRefused for an unknown exchange."""
    guarded = settings.SWITCHES.enable_ingest_loop_guardrail
    return Follower(
        open_feed(exchange, market),
        runtime_ports(),
        report=report,
        limits=limits_from_switches(),
        new_breaker=lambda: Breaker(enabled=guarded),
        is_watched=is_watched,
    )
