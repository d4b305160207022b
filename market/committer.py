"""Commits closed candles of many series together, in as few transactions as they allow.

A batch whose process commits nothing is committed at once. While commits run, batches queue, and
what has queued goes into the next one together: so a batch never waits for others to come.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Iterable, Sequence
from concurrent.futures import Future
from contextvars import Context, copy_context
from dataclasses import dataclass, field
from functools import partial

from market import blocking
from market.costs import COST, Cost
from market.domain.candle import Candle
from market.domain.change import Change
from market.domain.series import SeriesId
from market.domain.store import Fence
from market.pipeline import Batch, Make, Outcome, Pipeline

# Series of one transaction. With more, the first of them would wait long for the last.
MOST_SERIES = 200

# Commits at a time: while PostgreSQL works for one, Python works for another.
AT_ONCE = 2

# A larger batch is history, and has a transaction of its own.
MOST_CANDLES = 20

MOST_QUEUED = 20_000


@dataclass(frozen=True, slots=True, eq=False)
class _Queued:
    """A batch that waits, what its caller waits for, and the caller's context."""

    batch: Batch
    result: Future[Change] = field(default_factory=Future)
    context: Context = field(default_factory=copy_context)
    cost: Cost | None = field(default_factory=COST.get)

    def settle(self, outcome: Change | BaseException) -> None:
        """Return the outcome to the caller."""
        if isinstance(outcome, BaseException):
            self.result.set_exception(outcome)
        else:
            self.result.set_result(outcome)


class Committer:
    """Runs batches through a pipeline on the threads of `market.blocking`; thread-safe.

    Batches of one series are committed in the order in which they came, each by itself.
    """

    def __init__(self, pipeline: Pipeline) -> None:
        self.pipeline = pipeline
        self._lock = threading.Lock()
        self._queue: deque[_Queued] = deque()
        self._running: set[SeriesId] = set()
        self._commits = 0

    async def ingest(
        self, series: SeriesId, candles: Sequence[Candle], *, fence: Fence | None = None
    ) -> Change:
        """Store checked candles of one series as `Pipeline.ingest` does, and return what changed.

        Raises what that raises, and what `market.blocking.run` does.
        """
        if len(candles) > MOST_CANDLES:
            return await blocking.run(self.pipeline.ingest, series, candles, fence=fence)
        return await self._queued(Batch(series, candles, fence))

    async def ingest_made(self, series: SeriesId, make: Make) -> Change:
        """Store candles that are computed as `Pipeline.ingest_made` does; raises as `ingest`."""
        return await self._queued(Batch(series, (), make=make))

    async def _queued(self, batch: Batch) -> Change:
        queued = _Queued(batch)
        with self._lock:
            if len(self._queue) >= MOST_QUEUED:
                raise blocking.PoolBusy("too many batches wait for their commit")
            self._queue.append(queued)
        waiting = asyncio.wrap_future(queued.result)
        async with asyncio.timeout(blocking.CALL_TIMEOUT_S):
            # Last of all: the thread has to wait until this one lets go of the interpreter's lock.
            self._begin()
            return await waiting

    def _begin(self) -> None:
        """Have what is queued committed, unless as many commits as may be run or wait for a thread.

        A commit takes its batches when it has a thread: what queues while it waits for one behind
        other work goes with it.
        """
        with self._lock:
            is_ready = any(each.batch.series not in self._running for each in self._queue)
            if self._commits == AT_ONCE or not is_ready:
                return
            self._commits += 1
        begun = threading.Event()
        try:
            running = Context().run(blocking.submit, partial(self._commit, begun))
        except Exception as error:
            self._fail(error)
        else:
            running.add_done_callback(partial(self._fail_unless, begun))

    def _fail(self, error: BaseException) -> None:
        """Return an error to the callers whose commit never began."""
        group = self._take()
        self._ended(group, commits=1)
        for queued in group:
            queued.settle(error)
        self._begin()

    def _fail_unless(self, begun: threading.Event, running: Future[None]) -> None:
        """Fail a commit whose thread ended before it: its connection could not be checked.

        Otherwise its callers would wait in vain, and its place would stay taken for ever.
        """
        if begun.is_set():
            return
        closed = blocking.PoolBusy("the threads for the database were ended")
        self._fail(closed if running.cancelled() else running.exception() or closed)

    def _take(self) -> list[_Queued]:
        """The next group: the oldest batch of each series that is not being committed."""
        with self._lock:
            group: list[_Queued] = []
            left: list[_Queued] = []
            seen = set(self._running)
            while self._queue and len(group) < MOST_SERIES:
                queued = self._queue.popleft()
                series = queued.batch.series
                if series in seen:
                    left.append(queued)
                elif queued.result.set_running_or_notify_cancel():
                    group.append(queued)
                    seen.add(series)
            self._queue.extendleft(reversed(left))
            self._running.update(queued.batch.series for queued in group)
            return group

    def _ended(self, group: Iterable[_Queued], *, commits: int) -> None:
        with self._lock:
            self._commits -= commits
            self._running.difference_update(queued.batch.series for queued in group)

    def _commit(self, begun: threading.Event) -> None:
        """Commit the next group, then begin with what has queued meanwhile. Blocking."""
        begun.set()
        group = self._take()
        outcomes: Sequence[Outcome | Exception] = []
        began_s = time.thread_time()
        # One batch is committed in its caller's context, for its log lines.
        context = group[0].context if len(group) == 1 else Context()
        try:
            if group:
                batches = [queued.batch for queued in group]
                outcomes = context.run(self.pipeline.ingest_group, batches)
        except Exception as error:
            outcomes = [error] * len(group)
        if group:
            share_ms = 1000 * (time.thread_time() - began_s) / len(group)
            for queued in group:
                if queued.cost is not None:
                    queued.cost.ms += share_ms
        ended = list(zip(group, outcomes, strict=True))
        # A series that goes on alone stays reserved: its next batch must not overtake this one.
        self._ended((queued for queued, outcome in ended if outcome is not None), commits=1)
        for queued, outcome in ended:
            if outcome is None:
                self._commit_alone(queued)
            else:
                queued.settle(outcome)
        self._begin()

    def _commit_alone(self, queued: _Queued) -> None:
        """Wait for the lock of a series on another thread, which delays no group."""

        def ended(outcome: Change | Exception) -> None:
            self._ended([queued], commits=0)
            queued.settle(outcome)
            self._begin()

        def commit() -> None:
            try:
                outcome: Change | Exception = self.pipeline.ingest_batch(queued.batch)
            except Exception as error:
                outcome = error
            ended(outcome)

        try:
            queued.context.run(blocking.submit, commit)
        except Exception as error:
            ended(error)
