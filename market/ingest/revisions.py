"""Closed candles are read again at a slow rhythm, and corrected.

Exchanges correct candles long after they closed, without a message. The follower reads the newest
few again every five minutes; this reads a day's worth, one series of a follow job at a time, behind
every other request to the exchange.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from django.db import DatabaseError

from market import blocking, log_context
from market.domain.feed import Feed, FeedError
from market.domain.lease_store import LeaseStoreUnavailable
from market.domain.series import SeriesId
from market.domain.store import Fence, SeriesDamaged, StaleFence
from market.domain.timeframe import Timeframe
from market.exchanges.rate_limit import YIELDS
from market.ingest.audit import audit
from market.ingest.backfill import IngestPorts
from market.ingest.gap_ranges import Range
from market.ingest.runtime import call, lease_store
from market.pipeline import PipelineError
from market.runtime import oldest_wanted

logger = logging.getLogger(__name__)

DAY_S = 86_400
LEAST_CANDLES = 100
# A day of seconds would be 86 pages a series; ten show what is corrected late.
MOST_CANDLES = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class RevisionPace:
    """How often and how far back closed candles are read again; times in seconds.

    `candles` of 0 is one day's worth, at least LEAST_CANDLES. An `interval_s` of 0 turns it off.
    """

    candles: int = 0
    interval_s: float = 0.0
    # The newest ones are left to the follower, which knows what the stream sent meanwhile.
    skipped: int = 5
    # Between two requests, so that one job uses a small part of the exchange's rate.
    page_pause_s: float = 1.0
    retry_s: float = 300.0
    poll_s: float = 5.0

    def candles_of(self, timeframe: Timeframe) -> int:
        """How many closed candles of a timeframe are read again."""
        return min(MOST_CANDLES, self.candles or max(LEAST_CANDLES, DAY_S // timeframe.seconds))


class Revisions:
    """Reads the series of one follow job again, one at a time.

    `joined` returns the series that are followed up to the present, each with its fencing token. A
    marker in the lease store keeps the rhythm across jobs and workers.
    """

    def __init__(
        self,
        feed: Feed,
        ports: IngestPorts,
        *,
        pace: RevisionPace,
        joined: Callable[[], Mapping[SeriesId, Fence]],
    ) -> None:
        self._feed = feed
        self._ports = ports
        self._pace = pace
        self._joined = joined
        # Series whose last attempt failed, with the time of the next one (monotonic).
        self._again_at: dict[SeriesId, float] = {}

    async def run(self) -> None:
        """Read again what is due, until cancelled."""
        YIELDS.set(True)
        while self._pace.interval_s:
            for series in self._joined():
                fence = self._joined().get(series)
                if fence is not None and time.monotonic() >= self._again_at.get(series, 0.0):
                    with log_context.about(series):
                        await self._check_due(series, fence)
            joined = self._joined()
            self._again_at = {each: at for each, at in self._again_at.items() if each in joined}
            await asyncio.sleep(self._pace.poll_s)

    async def _check_due(self, series: SeriesId, fence: Fence) -> None:
        """Read a series again unless that was done within the interval, by whichever worker."""
        marker, is_done = f"revisions:{series}", False
        try:
            if not await call(lease_store().claim, marker, ttl=self._pace.interval_s):
                return
            try:
                await self._check(series, fence)
                is_done = True
            finally:
                if not is_done:
                    await call(lease_store().unclaim, marker)
        except StaleFence:
            logger.info("%s: another job follows it now", series)
        except (
            FeedError,
            PipelineError,
            SeriesDamaged,
            LeaseStoreUnavailable,
            DatabaseError,
            TimeoutError,
        ) as error:
            logger.info("%s: reading it again is left to later: %s", series, error)
        except Exception:
            logger.exception("%s: reading it again failed", series)
        if not is_done:
            self._again_at[series] = time.monotonic() + self._pace.retry_s

    async def _check(self, series: SeriesId, fence: Fence) -> None:
        span = await blocking.run(self._span, series)
        if span is None:
            return
        pause_s = self._pace.page_pause_s
        report = await audit(
            self._feed, series, *span, ports=self._ports, repair=True, fence=fence, pause_s=pause_s
        )
        if report.repaired:
            logger.info("%s: %d closed candles were corrected", series, report.repaired)

    def _span(self, series: SeriesId) -> Range | None:
        """The stored candles to read again: not the newest. None if there are none. Blocking."""
        step, store = series.timeframe.seconds, self._ports.store
        head, first = store.state(series).head, store.first(series)
        if head is None or first is None:
            return None
        end = head - self._pace.skipped * step
        start = end - (self._pace.candles_of(series.timeframe) - 1) * step
        start = max(start, first, oldest_wanted(series, head))
        return (start, end) if start <= end else None
