"""Following one series: history joins live without a hole, and closed candles are stored in order.

Every closed candle the stream gives is held until it joins the stored head. What is missing in
between is read over REST first. A candle that never comes is noticed by the exchange's clock, so
the stream's faults cost time but no candles.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from market import blocking, log_context
from market.domain.candle import Candle
from market.domain.feed import Feed, FeedError, FeedRefused, RateLimited
from market.domain.lease_store import JobReport
from market.domain.series import SeriesId
from market.domain.store import StaleFence
from market.ingest import metrics
from market.ingest.backfill import IngestPorts, fill, note_holes
from market.ingest.breaker import Breaker, BreakerState
from market.ingest.follow_limits import FollowLimits
from market.ingest.gap_ranges import GapState
from market.ingest.open_candle import OpenCandle
from market.ingest.store_outage import is_store_away, store_pace
from market.pipeline import PipelineError

logger = logging.getLogger(__name__)

Report = Callable[[SeriesId, JobReport], None]

_LAST_ERROR_LENGTH = 300


class FollowedSeries:
    """One series being followed with a fencing token. All of it runs in one task, `run`."""

    def __init__(
        self,
        series: SeriesId,
        fence: int,
        *,
        feed: Feed,
        ports: IngestPorts,
        limits: FollowLimits,
        breaker: Breaker,
        reading: asyncio.Semaphore,
        report: Report,
        is_watched: Callable[[SeriesId], bool],
    ) -> None:
        self.series = series
        self.fence = fence
        self._feed = feed
        self._ports = ports
        self._limits = limits
        self._breaker = breaker
        self._store_pace = store_pace(limits.store_pause_s)
        # Few series read history at a time, so that a start does not flood exchange and store.
        self._reading = reading
        self._report = report
        self._wake = asyncio.Event()
        self._held: dict[int, Candle] = {}
        self._open_candle = OpenCandle(
            series,
            ports.publisher,
            interval_s=limits.forming_interval_s,
            is_watched=is_watched,
        )
        self._head: int | None = None
        self._known = False
        # Whether history has been read up to live once, and as far back as the switches ask.
        self._joined = False
        self._synced = False
        # The next read of REST, the end of the pause after a failure of it, and of a failed write.
        self._read_at = self._rest_at = self._store_at = self._recheck_at = 0.0
        self._recheck, self._is_interrupted = True, False
        self._is_heard = False  # Since the stream was opened.
        self._useless_reads = 0
        self._hole_reads = 0
        self._flushed_at = 0.0
        self._state = "backfilling"
        self._started_at = time.time()
        self._crashes = 0
        self._last_crash_at: float | None = None
        self._last_error: str | None = None

    # What the feed says

    def closed(self, candle: Candle) -> None:
        """A closed candle came."""
        if len(self._held) >= self._limits.held_max:
            # REST has them all; what matters is that memory stays bounded.
            self._held.clear()
            self._recheck = True
            self._read_at = 0.0
        self._held[candle.candle_time] = candle
        self._heard()

    def forming(self, candle: Candle) -> None:
        """The open candle's state came."""
        self._open_candle.heard(candle)
        self._heard()

    def _heard(self) -> None:
        """The stream speaks: after an interruption that means the exchange is back for REST too."""
        if self._is_interrupted:
            self._is_interrupted, self._rest_at = False, 0.0
            self._breaker.succeeded()
        if not self._is_heard:
            # Nobody told what was corrected between the last read and now.
            self._is_heard = self._recheck = True
        self._wake.set()

    def interrupted(self, reason: str) -> None:
        """Something may have been missed."""
        self._recheck = self._is_interrupted = True
        self._is_heard = False
        self._last_error = reason[:_LAST_ERROR_LENGTH]
        self._read_at = 0.0
        self._wake.set()

    # The task

    async def run(self) -> None:
        """Follow until cancelled. Raises StaleFence and FeedRefused: then there is no point."""
        with log_context.about(self.series):
            while True:
                self._wake.clear()
                wait = await self._turn()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(wait):
                        await self._wake.wait()

    def tell(self) -> None:
        """Report how it goes."""
        is_open = self._breaker.state is BreakerState.OPEN
        self._report(
            self.series,
            JobReport(
                state="open_breaker" if is_open else self._state,
                started_at=self._started_at,
                last_candle_time=self._head,
                last_error=self._last_error,
                crashes=self._crashes,
                last_crash_at=self._last_crash_at,
                guardrail=self._guardrail(),
            ),
        )

    def _guardrail(self) -> Mapping[str, Any] | None:
        return self._breaker.as_object() if self._breaker.enabled else None

    async def _turn(self) -> float:
        """Do what can be done now; the seconds until there may be more without an event."""
        try:
            if not self._known:
                await self._learn_head()
            await self._store_held()
            if await self._must_read():
                await self._read()
                await self._store_held()
                await self._sync_older()
            await self._open_candle.show(self._expected)
        except (StaleFence, FeedRefused):
            raise
        except RateLimited as error:
            self._wait_for(error, error.retry_after_s)
        except (FeedError, PipelineError) as error:
            self._fail(getattr(error, "refusal", None) or error)
        except Exception as error:
            if not is_store_away(error):
                logger.exception("%s: following failed", self.series)
            self._fail(error)
        return await self._pause()

    async def _learn_head(self) -> None:
        self._head = (await blocking.run(self._ports.store.state, self.series)).head
        self._known = True

    # Live

    @property
    def _expected(self) -> int | None:
        """The open time that joins the head."""
        if self._head is None:
            return None
        timeframe = self.series.timeframe
        return timeframe.open_of(self._head) + timeframe.seconds

    async def _store_held(self) -> None:
        """Store the held candles that join the head, and those behind it."""
        while time.monotonic() >= self._store_at and (batch := self._joining()):
            now = time.monotonic()
            full = len(batch) >= self._limits.batch_max
            if not full and now < self._flushed_at + self._limits.flush_s:
                return
            self._flushed_at = now
            await self._store(batch[: self._limits.batch_max])

    def _joining(self) -> list[Candle]:
        if not self._joined:
            return []
        expected = self._expected
        batch = []
        for time_ in sorted(self._held):
            if expected is not None and time_ > expected:
                break
            batch.append(self._held[time_])
            if expected is None or time_ == expected:
                expected = time_ + self.series.timeframe.seconds
        return batch

    async def _store(self, batch: list[Candle]) -> None:
        run = self._ports.pipeline.ingest
        change = await blocking.run(run, self.series, batch, fence=self.fence)
        for candle in batch:
            # A newer state of it may have come while this one was written.
            if self._held.get(candle.candle_time) == candle:
                del self._held[candle.candle_time]
        self._moved(change.state.head)
        if not change.is_empty:
            await self._ports.publisher.publish_change(change)
        self._well()

    def _moved(self, head: int | None) -> None:
        if head != self._head:
            self._useless_reads = self._hole_reads = 0
        self._head = head

    # Over REST

    @property
    def _read_allowed_at(self) -> float:
        return max(self._read_at, self._rest_at, self._store_at)

    async def _must_read(self) -> bool:
        """Whether REST is due: at the start, after a disturbance, for a hole, for a late candle."""
        now = time.monotonic()
        if now < self._read_allowed_at:
            return False
        return self._recheck or now >= self._recheck_at or await self._overdue_in() <= 0

    async def _overdue_in(self) -> float:
        """Seconds until the expected candle is late; at most 0 when later ones were seen."""
        expected = self._expected
        if expected is None:
            return 0.0
        if expected in self._held:
            # It only waits to be written together with others.
            return self._limits.overdue_s
        if max([self._open_candle.candle_time, *self._held]) > expected:
            return 0.0
        end = expected + self.series.timeframe.seconds
        return end + self._limits.overdue_s - await self._feed.now()

    async def _read(self) -> None:
        """Read from the head (a little before it) to now; then decide about what is held."""
        async with self._reading:
            if not self._joined:
                self._state = "backfilling"
                self.tell()
            # Set again by a failure, and by an interruption while this read is under way.
            self._recheck = False
            await self._learn_head()
            head = self._head
            end = max(
                self.series.timeframe.latest_closed(await self._feed.now()),
                max(self._held, default=0),
            )
            result = await fill(
                self._feed,
                self.series,
                self._first_wanted(end),
                end,
                fence=self.fence,
                on_page=partial(self._took, dict(self._held)),
                ports=self._ports,
            )
            await self._learn_head()
        self._joined = True
        self._read_done(useful=self._head != head or bool(result.stored))
        await self._give_up_on_hole()

    def _first_wanted(self, end: int) -> int:
        step = self.series.timeframe.seconds
        if self._expected is None:
            wanted = max(self._limits.new_series_candles, self._limits.sync_candles)
            return max(0, end - (wanted - 1) * step)
        return max(0, self._expected - self._limits.recheck_candles * step)

    async def _sync_older(self) -> None:
        """Once: let the series reach back as far as the start-up sync asks."""
        if self._synced or self._head is None:
            return
        step = self.series.timeframe.seconds
        first = await blocking.run(self._ports.store.first, self.series)
        wanted = max(0, self._head - (self._limits.sync_candles - 1) * step)
        if self._limits.sync_candles and first is not None and wanted < first:
            older = (wanted, first - step)
            async with self._reading:
                await fill(self._feed, self.series, *older, fence=self.fence, ports=self._ports)
        self._synced = True

    def _took(self, told: Mapping[int, Candle], page: Sequence[Candle]) -> None:
        """A page was stored. `told` is what the stream had said before REST was asked."""
        for candle in page:
            before = told.get(candle.candle_time)
            if before is not None and self._held.get(candle.candle_time) is before:
                # REST answered later, so a repeat of an old state must not undo its word.
                del self._held[candle.candle_time]
        if page:
            # Known at once: the next page may fail, and no forming candle may follow its close.
            self._moved(max(page[-1].candle_time, -1 if self._head is None else self._head))
        self._well()

    def _read_done(self, *, useful: bool) -> None:
        now = time.monotonic()
        self._recheck_at = now + self._limits.recheck_s
        self._useless_reads = 0 if useful else self._useless_reads + 1
        self._read_at = now if self._recheck else now + self._useless_pause()
        if not self._joining():
            self._well()

    def _useless_pause(self) -> float:
        """Until the next read; a quiet market is asked ever more seldom."""
        if not self._useless_reads:
            return 0.0
        doubled = self._limits.overdue_s / 4 * 2.0 ** min(self._useless_reads, 16)
        return min(self._limits.longest_overdue_s, doubled)

    async def _give_up_on_hole(self) -> None:
        """Go on behind a hole that REST does not close for long; it is noted as open."""
        expected = self._expected
        beyond = [time_ for time_ in self._held if expected is not None and time_ > expected]
        if not beyond or self._joining():
            return
        self._hole_reads += 1
        if self._hole_reads < self._limits.hole_reads:
            return
        first = min(beyond)
        await self._store([self._held[first]])
        assert expected is not None
        hole = (expected, first - self.series.timeframe.seconds)
        await blocking.run(note_holes, self._ports, self.series, hole, state=GapState.OPEN)

    # When it does not work

    def _well(self) -> None:
        self._state = "running"
        self._breaker.succeeded()
        self._store_pace.succeeded()

    def _fail(self, error: Exception) -> None:
        """Pause; afterwards REST reads on from the stored head."""
        self._crashes += 1
        self._last_crash_at = time.time()
        metrics.follow_failed(self.series)
        logger.warning("%s: %s", self.series, error)
        pace = self._store_pace if is_store_away(error) else self._breaker
        self._wait_for(error, pace.failed(str(error)))
        if not isinstance(error, FeedError):
            # Only trouble of our own stops the candles that the stream goes on to give.
            self._store_at = self._rest_at
            self._known = False

    def _wait_for(self, error: Exception, seconds: float) -> None:
        self._last_error = str(error)[:_LAST_ERROR_LENGTH]
        self._state = "waiting"
        self._recheck = True
        self._rest_at = time.monotonic() + seconds
        self.tell()

    async def _pause(self) -> float:
        """Seconds until something is due."""
        now = time.monotonic()
        self._breaker.before_attempt()
        allowed = self._read_allowed_at
        due = [allowed if self._recheck else max(allowed, self._recheck_at)]
        if self._joining():
            due.append(max(self._store_at, self._flushed_at + self._limits.flush_s))
        if self._open_candle.candle_time == self._expected:
            due.append(now + self._open_candle.wait_s())
        # The exchange's clock may be unreachable, and then the last word on it is what counts.
        with contextlib.suppress(FeedError):
            due.append(max(allowed, now + await self._overdue_in()))
        return max(0.001, min(due) - now)
