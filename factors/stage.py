"""The factor stage: writes the facts of every batch of closed candles to the factor ledger."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from math import inf
from typing import NamedTuple

from django.conf import settings

from factors import runtime
from factors.domain.checkpoints import EVERY
from factors.domain.engine import Engine, EngineState
from factors.domain.ledger import FactorLedger, FactorUpdate, Position, Rebuild
from factors.domain.values import StepResult
from factors.engine_states import Logic, Run
from factors.engines import Engines
from factors.ledger_stage import AT_ONCE, BEGINNING, LedgerStage
from factors.stored_candles import CandlesAhead, StoredCandles
from market.debug_events import emit, is_on, milliseconds_since
from market.domain.candle import Candle
from market.domain.change import Change, Notice, Results
from market.domain.series import SeriesId
from market.domain.store import CandleStore, SeriesWriter
from market.domain.timeframe import Timeframe
from market.runtime import candle_store

FactorLogic = Logic[EngineState, Candle, StepResult]

PAGES_AT_ONCE = 200
"""A batch of more than this part of `at_once` candles is taken for a page of history."""


MOST_AHEAD = 2_000
"""A series with more candles than this between saved state and head is not prepared."""


HOLD_S = 30.0
"""So long after the past of a series changed, live batches leave a ledger far behind alone."""


class MovingPasts:
    """The series whose past is changing again and again, as while older history is added.

    A live batch would compute as much as one may, on a ledger that the next page deletes again.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._changed: dict[SeriesId, tuple[int, float]] = {}

    def has(self, series: SeriesId, epoch: int) -> bool:
        """Whether the past changed lately; a series that was not asked about before is at rest."""
        now = self._clock()
        known, changed_at = self._changed.get(series, (epoch, -inf))
        if epoch != known:
            changed_at = now
        self._changed[series] = epoch, changed_at
        return now - changed_at < HOLD_S

    def forget(self, series: SeriesId) -> None:
        """Forget a series whose ledger has caught up."""
        self._changed.pop(series, None)


class ReplayedSteps(NamedTuple):
    """The steps of a prepared series from behind the time `after` up to its head.

    `at` is where its factor ledger is, which holds them.
    """

    at: Position
    after: int
    steps: Sequence[StepResult]


@dataclass(frozen=True, slots=True)
class Replayed:
    """What was replayed of the prepared series, for the overlay stage."""

    of: dict[SeriesId, ReplayedSteps] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CandleInput:
    """The candles of a series as the batch leaves them; implements StageInput."""

    change: Change
    candles: StoredCandles
    request: Rebuild | None
    engines: Engines
    moving: MovingPasts

    def logic(self, known: Position | None) -> FactorLogic:
        """The engine with the parameters of the series.

        Parameters are not read if a ledger was computed with those of a known engine: changing them
        changes the fingerprint of the ledger.
        """
        engine = None
        if known is not None and self.request is None:
            engine = self.engines.with_fingerprint(known.fingerprint)
        engine = engine or self.engines.of(self.change.series)
        return Logic(engine, engine.fingerprint)

    @property
    def is_requested(self) -> bool:
        """Whether the batch is a rebuild that was asked for."""
        return self.request is not None

    @property
    def stale_from(self) -> int | None:
        """From which time on candles changed, or a rebuild was asked for."""
        requested = None if self.request is None else self.request.from_time
        times = (self.change.revised_from, requested)
        return min((time for time in times if time is not None), default=None)

    def fresh(self) -> Sequence[Candle]:
        """The candles beyond the old head."""
        return self.change.fresh

    def between(self, after: int, end: int) -> Iterable[Candle]:
        """The candles later than `after` up to `end`."""
        return self.candles.pages(after, end)

    def missing(self, reached: int, at_once: int) -> Sequence[Candle]:
        """All candles after `reached` if they are not too many, else the first of them.

        When a page of old history has too many candles behind it, only the page is computed: the
        next page may follow, and would have all later candles computed once more. A few late
        candles are no page. For the same reason live candles between two pages wait.
        """
        change = self.change
        if reached == (BEGINNING if change.predecessor is None else change.predecessor):
            return change.fresh
        size = len(change.fresh) + len(change.past)
        most = max(at_once, size)
        candles = self.candles.after(reached, most + 1)
        if len(candles) <= most:
            self.moving.forget(change.series)
            return candles
        is_live = bool(change.fresh) and not change.past
        if is_live and self.moving.has(change.series, change.state.epoch):
            return ()
        is_first = candles[0].candle_time == change.revised_from
        is_page = is_first and size > at_once // PAGES_AT_ONCE
        return candles[: size if is_page else most]


class FactorStage:
    """Brings the factor ledger up to each change, and leaves a FactorUpdate for later stages."""

    name = "factor.ingest_closed"

    def __init__(
        self,
        engines: Engines | None = None,
        ledger: FactorLedger | None = None,
        *,
        candles: CandleStore | None = None,
        rebuilds: bool | None = None,
        at_once: int = AT_ONCE,
        every: int = EVERY,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take what is not given from this process's runtime and switches."""
        self._moving = MovingPasts(clock)
        self._engines = engines or runtime.engines()
        self._ledger = ledger or runtime.factor_ledger()
        allowed = settings.SWITCHES.enable_factor_fingerprint_rebuild
        self._candles = candles or candle_store()
        self._stage: LedgerStage[EngineState, Candle, StepResult] = LedgerStage(
            self._ledger.writing,
            self._candles,
            rebuilds=allowed if rebuilds is None else rebuilds,
            at_once=at_once,
            every=every,
        )

    def apply(self, writer: SeriesWriter, change: Change) -> Iterable[Notice]:
        """Write the facts of a change. Raises LedgerOutdated and LedgerConflict."""
        started = time.perf_counter()
        candles = StoredCandles(self._candles, change)
        given = CandleInput(
            change, candles, change.results.get(Rebuild), self._engines, self._moving
        )
        run = self._stage.apply(writer, change, given)
        fingerprint = run.logic.fingerprint
        change.results.put(FactorUpdate(run.head_time, run.entries, run.dropped_from, fingerprint))
        if is_on():
            writer.on_commit(partial(self._emit, change, run, milliseconds_since(started)))
        if run.dropped_from is None:
            return []
        reason = "factor history recomputed" if change.revised_from is None else "candles changed"
        data = {"series_id": str(change.series), "from_time": run.dropped_from}
        return [Notice("factor.rebuild", reason, data)]

    def prepare(self, writers: Sequence[SeriesWriter], results: Results) -> None:
        """Bring the engine states of cold series into memory, with two queries for all of them.

        A series is left to `apply` if its ledger is not at its newest candle, has other parameters,
        or is too far from a saved state.
        """
        cold = self._stage.cold(writers)
        if len(cold) < 2:
            return
        begun: dict[SeriesId, tuple[Position, Run[EngineState, Candle, StepResult]]] = {}
        ahead = {series: CandlesAhead(self._candles, series) for series in cold}
        spans: dict[SeriesId, tuple[int, int]] = {}
        for series, saved in self._ledger.saved(cold).items():
            at, state = saved.position, cold[series].state
            engine = self._engines.with_fingerprint(at.fingerprint)
            if engine is None or at[:2] != (state.head, state.epoch):
                continue
            logic = Logic(engine, at.fingerprint)
            run = self._stage.begun(logic, saved, series.timeframe, ahead[series].between)
            if run is not None:
                begun[series] = at, run
                spans[series] = self._span(engine, run, at.head_time, series.timeframe)
        replayed = Replayed()
        for series, rows in self._candles.read_ranges(spans, limit=MOST_AHEAD).items():
            at, run = begun[series]
            after = run.head_time
            ahead[series].take(spans[series][0], rows)
            missing = [each for each in rows if each.candle_time > after]
            steps = self._stage.resume(run, missing, at, cold[series])
            ahead[series].drop()
            if steps is not None:
                replayed.of[series] = ReplayedSteps(at, after, steps)
        results.put(replayed)

    @staticmethod
    def _span(
        engine: Engine, run: Run[EngineState, Candle, StepResult], head: int, timeframe: Timeframe
    ) -> tuple[int, int]:
        """The candles to replay, with older ones that the state may read, unless they are many."""
        older = engine.reads_from(run.state)
        if older is not None and head - older <= MOST_AHEAD // 2 * timeframe.seconds:
            return min(older, run.head_time + 1), head
        return run.head_time + 1, head

    def _emit(
        self, change: Change, run: Run[EngineState, Candle, StepResult], duration_ms: float
    ) -> None:
        if run.dropped_from is not None and change.revised_from is None:
            emit(
                "factor.fingerprint.rebuild",
                change.series,
                {
                    "series_id": str(change.series),
                    "fingerprint": run.logic.fingerprint,
                    "from_time": run.dropped_from,
                },
            )
        emit("write.factor.ingest_done", change.series, partial(_done, run, duration_ms))


def _done(run: Run[EngineState, Candle, StepResult], duration_ms: float) -> dict[str, object]:
    """What the debug event of a run has."""
    events = sum(len(step.events) for step in run.entries)
    return {
        "up_to_candle_time": run.head_time,
        "candles_read": len(run.entries),
        "events_planned": events,
        "db_changes": events + sum(len(step.heads) for step in run.entries),
        "duration_ms": duration_ms,
    }
