"""Following one series: history and live candles join without a gap and are stored in order.

`Held` keeps what came ahead of the stored head, `Due` decides what is done next, and the loop here
does it. A candle that never arrives is noticed by the exchange's clock, so faults of the stream
cost time but no candles.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import NamedTuple

from market import blocking, log_context
from market.domain.candle import Candle
from market.domain.feed import (
    Feed,
    FeedError,
    FeedRefused,
    HistoryPage,
    RateLimited,
    SourceKind,
)
from market.domain.lease_store import JobReport
from market.domain.series import SeriesId
from market.domain.store import Fence, StaleFence
from market.exchanges.rate_limit import YIELDS
from market.exchanges.refused_rows import refused_rows
from market.ingest import metrics
from market.ingest.backfill import (
    NOT_ASKED,
    FillResult,
    IngestPorts,
    fill,
    noted_hole,
)
from market.ingest.backwards import (
    fill_backwards,
    fill_newest,
    is_unfinished,
    note_finished,
    note_unfinished,
)
from market.ingest.breaker import Breaker, BreakerState, is_store_away, store_pace
from market.ingest.derived_forming import DerivedForming
from market.ingest.due import Action, Due, FollowLimits
from market.ingest.forming import FormingCandle
from market.ingest.gap_ranges import GapState
from market.ingest.held import Held
from market.ingest.start_up_sync import LAST_ERROR_LENGTH, StartUpSync, reason_of
from market.pipeline import PipelineError, SeriesDerived

logger = logging.getLogger(__name__)

Report = Callable[[SeriesId, JobReport], None]


class Standing(NamedTuple):
    """Why a series is followed: a watcher may want its forming candle; the whitelist names it.

    `derived` are the series made of it whose forming candle a watcher may want.
    """

    is_watched: bool
    is_pinned: bool
    derived: frozenset[SeriesId] = frozenset()


UNWANTED = Standing(is_watched=False, is_pinned=False)
Standings = Callable[[SeriesId], Standing]

# Series of one job that read history at the same time: a start must not flood exchange and store.
# Pinned ones do not wait for others.
READERS = 4
# A market whose stream sent something within this time is traded, whatever its listing says.
TRADED_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class FollowPorts:
    """What all followed series of one job share."""

    feed: Feed
    ingest: IngestPorts
    limits: FollowLimits
    report: Report
    standings: Standings
    sync: StartUpSync
    pinned_readers: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(READERS))
    other_readers: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(READERS))

    def readers(self, series: SeriesId) -> asyncio.Semaphore:
        """The places of those that read history together with a series."""
        return self.pinned_readers if self.standings(series).is_pinned else self.other_readers


class FollowedSeries:
    """One series being followed with a fencing token; everything runs in the task of `run`."""

    def __init__(
        self, series: SeriesId, fence: Fence, *, ports: FollowPorts, breaker: Breaker
    ) -> None:
        self.series = series
        self.fence = fence
        self._ports = ports
        self._breaker = breaker
        self._store_pace = store_pace(ports.limits.store_pause_s)
        self._wake = asyncio.Event()
        self._held = Held(series.timeframe, most=ports.limits.held_max)
        self._due = Due(series.timeframe, ports.limits)
        self._is_new = False
        self._forming = FormingCandle(
            series,
            ports.ingest.publisher,
            interval_s=ports.limits.forming_interval_s,
            is_watched=lambda series: ports.standings(series).is_watched,
        )
        self._derived = DerivedForming(
            series,
            ports.ingest,
            interval_s=ports.limits.forming_interval_s,
            watched=lambda: ports.standings(series).derived,
        )
        self._job = JobReport(state="backfilling", started_at=time.time())
        self._spoke_at = float("-inf")
        self._actions: dict[Action, Callable[[], Awaitable[None]]] = {
            Action.LEARN_HEAD: self._learn_head,
            Action.STORE: self._store_joining,
            Action.SHOW_FORMING: self._show_forming,
            Action.READ: self._read,
            Action.SKIP_HOLE: self._skip_hole,
            Action.EXTEND: self._extend,
        }

    @property
    def has_joined(self) -> bool:
        """Whether history was read up to the present, and no failure is waited out."""
        return self._due.has_joined and self._job.state == "running"

    # Events of the feed

    def closed(self, candle: Candle) -> None:
        """A closed candle arrived."""
        if not self._held.add(candle):
            self._due.candles_dropped()
        self._stream_spoke()

    def forming(self, candle: Candle) -> None:
        """A state of the forming candle arrived."""
        self._forming.update(candle)
        self._stream_spoke()

    def _stream_spoke(self) -> None:
        self._spoke_at = time.monotonic()
        if self._due.stream_spoke():
            self._breaker.succeeded()
        self._wake.set()

    def interrupted(self, reason: str) -> None:
        """Something may have been missed."""
        self._job = replace(self._job, last_error=reason[:LAST_ERROR_LENGTH])
        self._due.interrupted()
        self._wake.set()

    # The task

    async def run(self) -> None:
        """Follow until cancelled.

        Raises StaleFence, FeedRefused and SeriesDerived, after which it is useless.
        """
        with log_context.about(self.series):
            while True:
                self._wake.clear()
                wait_s = await self._step()
                if wait_s:
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(wait_s):
                            await self._wake.wait()

    def send_report(self) -> None:
        """Report the state of this series to the job."""
        is_open = self._breaker.state is BreakerState.OPEN
        refused = refused_rows().of(self.series)
        if refused is not None and refused.at != self._job.refused_at:
            reason = f"rows refused: {refused.reason}"[:LAST_ERROR_LENGTH]
            self._job = replace(
                self._job, refused_rows=refused.rows, refused_at=refused.at, last_error=reason
            )
        source = self._ports.feed.source(self.series)
        report = replace(
            self._job,
            state="open_breaker" if is_open else self._job.state,
            last_candle_time=self._held.head,
            is_halted=self._is_halted(),
            guardrail=self._breaker.as_object() if self._breaker.enabled else None,
            polled=source.reason if source and source.kind is SourceKind.POLL else None,
        )
        self._ports.report(self.series, report)

    def _is_halted(self) -> bool:
        """Whether the listing has the market as halted, and no candle shows that it is traded."""
        is_silent = time.monotonic() - self._spoke_at > TRADED_S
        return is_silent and self._ports.feed.is_halted(self.series)

    async def _step(self) -> float:
        """Do what is due; return the seconds to wait when nothing is."""
        self._breaker.before_attempt()
        # Its requests to the exchange wait behind those for pinned series.
        YIELDS.set(not self._ports.standings(self.series).is_pinned)
        exchange_now = None
        with contextlib.suppress(FeedError):
            exchange_now = await self._ports.feed.now()
        action, wait_s = self._due.next(
            time.monotonic(),
            self._held,
            forming_time=self._forming.candle_time,
            forming_wait_s=self._forming.wait_s,
            exchange_now=exchange_now,
        )
        if action is Action.WAIT:
            return wait_s
        try:
            await self._actions[action]()
        except (StaleFence, FeedRefused, SeriesDerived):
            raise
        except RateLimited as error:
            self._pause(error, error.retry_after_s)
        except (FeedError, PipelineError) as error:
            self._failed(getattr(error, "refusal", None) or error)
        except Exception as error:
            if not is_store_away(error):
                logger.exception("%s: following failed", self.series)
            self._failed(error)
        return 0.0

    # Actions

    async def _learn_head(self) -> None:
        store = self._ports.ingest.store
        self._held.head = (await blocking.run(store.state, self.series)).head
        self._due.knows_head = True

    async def _store_joining(self) -> None:
        self._due.store_begins(time.monotonic())
        await self._store(self._held.joining()[: self._ports.limits.batch_max])

    async def _store(self, batch: list[Candle]) -> None:
        change = await self._ports.ingest.committer.ingest(self.series, batch, fence=self.fence)
        self._held.stored(batch)
        self._move_head(change.state.head)
        if not change.is_empty:
            self._derived.changed(change)
            await self._ports.ingest.publisher.publish_change(change)
        self._succeeded()

    async def _show_forming(self) -> None:
        if (candle := self._forming.newest) is not None:
            await self._forming.publish()
            await self._derived.publish(candle)

    def _move_head(self, head: int | None) -> None:
        if head != self._held.head:
            self._held.head = head
            self._due.head_moved()

    async def _read(self) -> None:
        """Read from a little before the head to now, and store it."""
        timeframe, limits = self.series.timeframe, self._ports.limits
        is_sync = bool(limits.sync_candles) and not self._due.has_joined
        async with self._ports.readers(self.series):
            if not self._due.has_joined:
                self._job = replace(self._job, state="backfilling")
                self.send_report()
            self._due.read_begins()
            await self._learn_head()
            head = self._held.head
            exchange_now = await self._ports.feed.now()
            end = max(timeframe.latest_closed(exchange_now), self._held.newest, 0)
            if self._held.expected is None:
                # What lies before the newest page follows in `_extend`.
                self._is_new = True
                await note_unfinished(self.series)
                wanted = max(limits.new_series_candles, limits.sync_candles)
                first = max(0, end - (wanted - 1) * timeframe.seconds)
                filled = self._filling(fill_newest, first, end)
            else:
                recheck = limits.recheck_candles * timeframe.seconds
                first = max(0, self._held.expected - recheck)
                filled = self._filling(fill, first, end)
            on_page = partial(self._page_stored, self._held.by_time())
            if is_sync:
                result = await self._ports.sync.run(
                    self.series,
                    filled,
                    (first, end),
                    head=self._head,
                    on_page=on_page,
                )
            else:
                result = await filled(on_page=on_page)
            await self._learn_head()
        is_useful = self._held.head != head or bool(result.stored)
        self._due.read_ended(
            time.monotonic(),
            self._held,
            is_useful=is_useful,
            read_to=end,
            exchange_now=await self._ports.feed.now(),
        )
        if not self._held.joining():
            self._succeeded()

    def _page_stored(self, held_before: Mapping[int, Candle], page: HistoryPage) -> None:
        self._held.superseded(page.candles, held_before=held_before)
        self._derived.forget()
        if page.candles:
            if self._is_new and self._held.first is None:
                # The stream may have sent older ones, which would leave a hole behind them.
                self._held.first = page.candles[0].candle_time
            # At once: the next page may fail, and no forming candle may follow its close.
            head = -1 if self._held.head is None else self._held.head
            self._move_head(max(page.candles[-1].candle_time, head))
        self._succeeded()

    async def _skip_hole(self) -> None:
        """Go on behind a hole that REST did not fill; the ledger has it as open."""
        expected, candle = self._held.expected, self._held.behind_hole()
        if expected is None or candle is None:
            return
        await self._store([candle])
        hole = (expected, candle.candle_time - self.series.timeframe.seconds)
        entry = noted_hole(self.series, hole, state=GapState.OPEN, reason=NOT_ASKED)
        await blocking.run(self._ports.ingest.ledger.record, entry)

    async def _extend(self) -> None:
        """Fetch the history of a new series, and what the start-up sync asks for."""
        limits, store = self._ports.limits, self._ports.ingest.store
        is_new = self._is_new or await is_unfinished(self.series)
        wanted = max(limits.sync_candles, limits.new_series_candles if is_new else 0)
        if wanted and self._held.head is not None:
            start = max(0, self._held.head - (wanted - 1) * self.series.timeframe.seconds)
            first = await blocking.run(store.first, self.series)
            if first is not None and start < first:
                filled = self._filling(fill_backwards, start, between=self._store_waiting)
                before = self._held.by_time()

                def on_page(page: HistoryPage) -> None:
                    self._held.superseded(page.candles, held_before=before)

                async with self._ports.readers(self.series):
                    try:
                        if limits.sync_candles:
                            await self._ports.sync.run(
                                self.series,
                                filled,
                                (start, first),
                                head=self._head,
                                on_page=on_page,
                            )
                        else:
                            await filled(on_page=on_page)
                    except FeedRefused as error:
                        # Its present is served: a refusal of the past must not end that.
                        logger.info("%s: older history is refused: %s", self.series, error)
        if is_new:
            await note_finished(self.series)
        self._held.first = None
        self._due.extended()

    def _filling(
        self, fill: Callable[..., Awaitable[FillResult]], *span: int, **options: object
    ) -> Callable[..., Awaitable[FillResult]]:
        feed, ports = self._ports.feed, self._ports.ingest
        return partial(fill, feed, self.series, *span, fence=self.fence, ports=ports, **options)

    def _head(self) -> int | None:
        return self._held.head

    async def _store_waiting(self) -> None:
        """Store what the stream sent meanwhile."""
        self._derived.forget()
        if self._held.joining():
            await self._store_joining()

    # Results

    def _succeeded(self) -> None:
        self._job = replace(self._job, state="running")
        self._breaker.succeeded()
        self._store_pace.succeeded()

    def _failed(self, error: Exception) -> None:
        self._job = replace(self._job, crashes=self._job.crashes + 1, last_crash_at=time.time())
        metrics.follow_failed(self.series)
        reason = reason_of(error)
        # The traceback of a stage once, not at every attempt.
        is_new = isinstance(error, PipelineError) and reason != self._job.last_error
        logger.warning("%s: %s", self.series, reason, exc_info=error if is_new else None)
        pace = self._store_pace if is_store_away(error) else self._breaker
        self._pause(error, pace.failed(reason), is_ours=not isinstance(error, FeedError))

    def _pause(self, error: Exception, seconds: float, *, is_ours: bool = False) -> None:
        last_error = reason_of(error)
        self._job = replace(self._job, state="waiting", last_error=last_error)
        self._due.failed(time.monotonic(), seconds, is_ours=is_ours)
        self.send_report()
