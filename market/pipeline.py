"""The one write path: closed candles into the store, then every stage, in one transaction.

The caller publishes the result with `market.bus.publish` after the commit, so nothing is announced
that could still be rolled back.
"""

from __future__ import annotations

import importlib
import logging
import random
import time
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial
from operator import itemgetter
from typing import NamedTuple, Protocol, runtime_checkable

from typing_extensions import override

from market import collector, debug_events, log_context, metrics
from market.domain.candle import Candle, in_time_order
from market.domain.change import Change, Notice, Results, revision_notice
from market.domain.series import SeriesId
from market.domain.store import (
    CandleStore,
    Fence,
    GroupWriter,
    Outpaced,
    SeriesWriter,
    StaleFence,
    StoreUnavailable,
)

logger = logging.getLogger(__name__)

STORE_STEP = "store.upsert_many_closed"
COMMIT = "commit"

# Seconds before each retry of a transaction that the store could not take, with some jitter.
PAUSES_S = (0.05, 0.25)

# Series of a group that are read ahead together: what was read for them is in memory at a time.
PREPARED_AT_ONCE = 25


class PipelineError(Exception):
    """A step failed and nothing of the batch was stored. `str()` is the wire's detail text."""

    def __init__(self, step: str, series: SeriesId) -> None:
        super().__init__(f"ingest_pipeline_failed:{step}:{series}")
        self.step = step
        self.series = series

    @property
    def reason(self) -> str:
        """The message with what caused it, for logs and for the operator."""
        cause = self.__cause__
        return f"{self}: {type(cause).__name__}: {cause}" if cause else str(self)

    @property
    def refusal(self) -> StoreUnavailable | None:
        """The store's reason, if it took nothing for a reason other than the batch."""
        return self.__cause__ if isinstance(self.__cause__, StoreUnavailable) else None


class SeriesDerived(PipelineError):
    """Candles that were not made of its base were to be stored in a derived series.

    The store knows which series are derived, so the settings of the process do not matter.
    """

    code = "derived_series"

    def __init__(self, series: SeriesId) -> None:
        super().__init__(STORE_STEP, series)

    def __str__(self) -> str:
        return (
            f"{self.code}: {self.series} is derived, and takes no other candles;"
            " manage.py derived --release ends that"
        )

    @property
    @override
    def reason(self) -> str:
        return str(self)


class Stage(Protocol):
    """A step after the store: it gets each change inside the transaction, before the commit."""

    name: str

    def apply(self, writer: SeriesWriter, change: Change) -> Iterable[Notice]:
        """Bring this stage's ledger up to `change`; an exception rolls back the whole batch."""


@runtime_checkable
class PreparingStage(Stage, Protocol):
    """A stage that can read for several series at once what it needs to apply their changes."""

    def prepare(self, writers: Sequence[SeriesWriter], results: Results) -> None:
        """Read ahead for the series of a group, before their changes are applied one by one.

        `results` is what stages prepare for later ones. A series for which nothing was prepared is
        read in `apply`; so nothing that concerns one series alone may raise.
        """


Writing = Callable[[], AbstractContextManager[SeriesWriter]]
"""Opens the transaction of one series."""

Make = Callable[[SeriesWriter], Iterable[Candle]]
"""Computes the candles of a series inside the transaction that stores them."""


class Batch(NamedTuple):
    """Closed candles of one series, checked, and the fence of their writer.

    With `make` they are computed in the transaction instead, while the series is locked.
    """

    series: SeriesId
    candles: Sequence[Candle]
    fence: Fence | None = None
    make: Make | None = None

    def store(self, writer: SeriesWriter) -> Change:
        """Store the candles, and return what that changed."""
        if self.make is None:
            return _store(writer, in_time_order(self.candles), is_made=False)
        return _store(writer, in_time_order(self.make(writer)), is_made=True)


Outcome = Change | PipelineError | StaleFence | None
"""What became of one batch of a group; None if another writer held the lock of its series."""


@dataclass(frozen=True, slots=True)
class StepTimes:
    """How long each step of a batch took, among its results where debug events are kept."""

    steps: list[dict[str, object]] = field(default_factory=list)


class Pipeline:
    """Runs batches of closed candles through the store and the stages."""

    def __init__(self, store: CandleStore, stages: Sequence[Stage] = ()) -> None:
        self._store = store
        self._stages = tuple(stages)
        self._preparing = [each for each in stages if isinstance(each, PreparingStage)]

    def ingest(
        self, series: SeriesId, candles: Iterable[Candle], *, fence: Fence | None = None
    ) -> Change:
        """Store checked candles of one series, and return what changed.

        A batch seen twice changes nothing. Raises PipelineError naming the step that failed,
        SeriesDerived for a series of which only made candles are stored, and StaleFence when the
        caller has lost the series to another writer.
        """
        batch = in_time_order(candles)
        with log_context.about(series):
            writing = partial(self._store.writing, series, fence=fence, may_lock_late=True)
            return self._run(
                series, lambda writer: _store(writer, batch, is_made=False), writing=writing
            )

    def ingest_made(self, series: SeriesId, make: Make) -> Change:
        """Store candles that `make` computes inside the transaction, and return what changed.

        `make` is called while the series is locked, and again at each retry. What it writes is
        committed even if it returns no candle. Raises PipelineError naming the step that failed.
        """
        with log_context.about(series):
            return self._run(series, Batch(series, (), make=make).store)

    def ingest_batch(self, batch: Batch) -> Change:
        """Store one batch in a transaction of its own; raises as `ingest` does."""
        if batch.make is not None:
            return self.ingest_made(batch.series, batch.make)
        return self.ingest(batch.series, batch.candles, fence=batch.fence)

    def ingest_group(self, batches: Sequence[Batch]) -> list[Outcome]:
        """Store batches of different series in one transaction; return the outcome of each.

        A series that fails does so alone. If the transaction fails, and not because the store takes
        nothing, it is halved until those that fail are alone.
        """
        if len(batches) == 1:
            return [self._outcome(batches[0])]
        for pause in (*PAUSES_S, None):
            try:
                with collector.paused():
                    return self._attempt_group(batches)
            except Outpaced:
                break
            except StoreUnavailable as error:
                if pause is None or not error.is_passing:
                    metrics.PIPELINE_FAILURES.inc(len(batches), STORE_STEP)
                    return [_failed(STORE_STEP, batch.series, error) for batch in batches]
                logger.info("%d series: retrying: %s", len(batches), error)
            except Exception as error:
                logger.info("%d series: halving their transaction: %r", len(batches), error)
                break
            time.sleep(pause * random.uniform(0.5, 1.5))
        half = len(batches) // 2
        return [*self.ingest_group(batches[:half]), *self.ingest_group(batches[half:])]

    def rerun(self, series: SeriesId, *requests: object) -> Change:
        """Run the stages over the stored candles, in one transaction.

        The stages find `requests` among the change's results. Raises PipelineError naming the
        step that failed.
        """
        with log_context.about(series):
            return self._run(series, lambda writer: _unchanged(writer, requests))

    def _run(
        self,
        series: SeriesId,
        store: Callable[[SeriesWriter], Change],
        *,
        writing: Writing | None = None,
    ) -> Change:
        """Run a transaction, with retries where they may help; count it if it fails in the end."""
        try:
            return self._attempts(series, store, writing or partial(self._store.writing, series))
        except SeriesDerived:
            raise
        except PipelineError as error:
            metrics.PIPELINE_FAILURES.inc(1, error.step)
            raise

    def _attempts(
        self, series: SeriesId, store: Callable[[SeriesWriter], Change], writing: Writing
    ) -> Change:
        """Repeat a transaction that may succeed at once: a repeated batch changes nothing."""
        for pause in PAUSES_S:
            try:
                return self._attempt(series, store, writing)
            except PipelineError as error:
                if error.refusal is None or not error.refusal.is_passing:
                    raise
                logger.info("%s: retrying: %s", series, error.refusal)
                if isinstance(error.refusal, Outpaced):
                    # What was faster is committed, so there is nothing to wait for.
                    continue
            time.sleep(pause * random.uniform(0.5, 1.5))
        return self._attempt(series, store, writing)

    def _attempt(
        self, series: SeriesId, store: Callable[[SeriesWriter], Change], writing: Writing
    ) -> Change:
        steps = _Steps()
        try:
            with writing() as writer:
                change = self._apply(writer, store, steps)
        except (StaleFence, SeriesDerived):
            raise
        except Exception as error:
            raise PipelineError(steps.name, series) from error
        if not _is_nothing(change):
            steps.end(COMMIT)
            _count(change)
        return change

    def _attempt_group(self, batches: Sequence[Batch]) -> list[Outcome]:
        outcomes: dict[SeriesId, Outcome] = {}
        with self._store.writing_group({each.series: each.fence for each in batches}) as group:
            members = {writer.series: writer for writer in group.writers}
            self._prepare(group.writers)
            for batch in batches:
                if batch.series in members:
                    writer = members[batch.series]
                    outcomes[batch.series] = self._apply_alone(group, writer, batch)
            started = time.perf_counter()
        metrics.step_done(COMMIT, started)
        metrics.GROUP_SERIES.observe(len(batches))
        outcomes |= {series: StaleFence(str(series)) for series in group.stale}
        for outcome in outcomes.values():
            if isinstance(outcome, Change) and not outcome.is_empty:
                _count(outcome)
            elif isinstance(outcome, PipelineError) and not isinstance(outcome, SeriesDerived):
                metrics.PIPELINE_FAILURES.inc(1, outcome.step)
        return [outcomes.get(batch.series) for batch in batches]

    def _prepare(self, writers: Sequence[SeriesWriter]) -> None:
        for start in range(0, len(writers), PREPARED_AT_ONCE):
            results = Results()
            for stage in self._preparing:
                stage.prepare(writers[start : start + PREPARED_AT_ONCE], results)

    def _apply_alone(self, group: GroupWriter, writer: SeriesWriter, batch: Batch) -> Outcome:
        """Run the steps for one series of a group. Raises StoreUnavailable, which concerns all."""
        series, steps = writer.series, _Steps()
        try:
            with log_context.about(series), group.alone(series):
                return self._apply(writer, batch.store, steps)
        except StoreUnavailable:
            raise
        except SeriesDerived as error:
            return error
        except Exception as error:
            return _failed(steps.name, series, error)

    def _apply(
        self, writer: SeriesWriter, store: Callable[[SeriesWriter], Change], steps: _Steps
    ) -> Change:
        """Run the steps for one series, up to the commit."""
        change = store(writer)
        if _is_nothing(change):
            return change
        for stage in self._stages:
            steps.end(steps.name)
            steps.name = stage.name
            change.notices.extend(stage.apply(writer, change))
        steps.end(steps.name)
        # What fails from now on is the store.
        steps.name = STORE_STEP
        if steps.times is not None:
            change.results.put(steps.times)
        return change

    def _outcome(self, batch: Batch) -> Change | PipelineError | StaleFence:
        try:
            return self.ingest_batch(batch)
        except (PipelineError, StaleFence) as error:
            return error


class _Steps:
    """The step that runs, and since when."""

    def __init__(self) -> None:
        self.name = STORE_STEP
        self.times = StepTimes() if debug_events.is_on() else None
        self._started = time.perf_counter()

    def end(self, name: str) -> None:
        """Record that a step has ended, and the next one begins."""
        began, self._started = self._started, metrics.step_done(name, self._started)
        if self.times is not None:
            taken_ms = round(1000 * (self._started - began), 3)
            self.times.steps.append({"name": name, "ok": True, "duration_ms": taken_ms})


def _failed(step: str, series: SeriesId, cause: Exception) -> PipelineError:
    error = PipelineError(step, series)
    error.__cause__ = cause
    return error


def _is_nothing(change: Change) -> bool:
    """Whether there is nothing to do for the stages."""
    return change.is_empty and not change.results


def _count(change: Change) -> None:
    """Count what was committed."""
    fresh, past, head = len(change.fresh), len(change.past), change.state.head
    metrics.candles_stored(change.series, fresh=fresh, past=past, head=head)
    for notice in change.notices:
        metrics.NOTICES.inc(1, notice.event)
    logger.debug("stored %d fresh and %d past candles, head %s", fresh, past, head)


def _unchanged(writer: SeriesWriter, requests: Iterable[object]) -> Change:
    return Change(
        series=writer.series,
        predecessor=writer.state.head,
        state=writer.state,
        results=Results(*requests),
    )


def _store(writer: SeriesWriter, batch: list[Candle], *, is_made: bool) -> Change:
    before = writer.state
    done = writer.upsert(batch)
    if writer.is_derived and not is_made:
        raise SeriesDerived(writer.series)
    changed = batch
    if done.unchanged:
        times = {*done.inserted, *done.revised}
        changed = [candle for candle in batch if candle.candle_time in times]
    old_head = before.head if before.head is not None else -1
    begin = bisect_right(changed, old_head, key=itemgetter(0))
    past, fresh = tuple(changed[:begin]), tuple(changed[begin:])
    revised_from = past[0].candle_time if past else None
    state = before
    if changed:
        head = fresh[-1].candle_time if fresh else before.head
        state = writer.advance(head, revised_from=revised_from)
    return Change(
        series=writer.series,
        predecessor=before.head,
        state=state,
        fresh=fresh,
        past=past,
        revised_from=revised_from,
        replaced=len(done.revised),
        notices=[]
        if revised_from is None
        else [revision_notice(writer.series, revised_from, state.epoch)],
    )


def load_stages(paths: Iterable[str]) -> list[Stage]:
    """Create the stages that settings name by dotted paths, in that order."""
    stages: list[Stage] = []
    for path in paths:
        module, _, name = path.rpartition(".")
        stages.append(getattr(importlib.import_module(module), name)())
    return stages
