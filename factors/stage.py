"""The factor stage: every batch of closed candles, folded into the factor ledger.

One rule covers the live candle, bulk history, revisions, changed logic and time missed alike: find
from where the ledger is no longer right, find an engine state before that, and fold from there.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial

from django.conf import settings

from factors import runtime
from factors.domain.checkpoints import EVERY, Checkpoint, keep, kept_between
from factors.domain.engine import Engine, EngineState
from factors.domain.facts import StateError
from factors.domain.ledger import (
    PRODUCT,
    REQUEST,
    FactorLedger,
    FactorLedgerWriter,
    LedgerState,
    Rebuild,
    Tick,
    Told,
)
from factors.kept_states import Kept, KeptStates
from factors.stored_candles import StoredCandles
from market.domain.candle import Candle
from market.domain.change import Change, Notice
from market.domain.store import CandleStore, SeriesWriter
from market.runtime import candle_store

log = logging.getLogger(__name__)

AT_ONCE = 20_000
"""Most candles that one transaction computes beyond its own batch."""

PAGES_AT_ONCE = 200
"""A batch greater than this part of `AT_ONCE` is taken for a page of history."""

NOTHING = LedgerState(-1, 0, "")


class LedgerOutdated(Exception):
    """The ledger comes from other logic or parameters, and nobody allowed to compute it anew."""


@dataclass(slots=True)
class _Fold:
    """An engine state on its way through candles, and what came of it."""

    engine: Engine
    state: EngineState
    every: int
    ticks: list[Tick] = field(default_factory=list)
    checkpoints: list[Checkpoint] = field(default_factory=list)

    def run(self, candles: Sequence[Candle]) -> None:
        """Take candles in; dump the state where a checkpoint will be kept."""
        engine, state, ticks = self.engine, self.state, self.ticks
        due = kept_between(state.count, state.count + len(candles), every=self.every)
        for candle in candles:
            ticks.append(Tick(candle.candle_time, engine.step(state, candle)))
            if state.count in due:
                dump = engine.dump(state)
                self.checkpoints.append(Checkpoint(candle.candle_time, state.count, dump))


@dataclass(frozen=True, slots=True)
class _Batch:
    """What a change asks of the stage, with where it reads and writes."""

    change: Change
    ledger: FactorLedgerWriter
    candles: StoredCandles
    kept: Kept | None

    @property
    def wish(self) -> Rebuild | None:
        """The rebuild that came with the change."""
        found: Rebuild | None = self.change.products.get(REQUEST)
        return found

    @property
    def size(self) -> int:
        """How many candles the batch itself changed."""
        return len(self.change.fresh) + len(self.change.past)


class FactorStage:
    """Brings the factor ledger up to each change, and leaves `Told` for the stages behind it.

    A ledger that is far behind comes up by `at_once` candles with each batch; until then readers
    are told that it is not there yet. With `rebuilds` off a ledger of other logic or parameters
    fails the batch instead. Near the newest candle an engine state is saved `every` so many.
    """

    name = "factor.ingest_closed"

    def __init__(
        self,
        engine: Engine | None = None,
        ledger: FactorLedger | None = None,
        *,
        candles: CandleStore | None = None,
        rebuilds: bool | None = None,
        at_once: int = AT_ONCE,
        every: int = EVERY,
    ) -> None:
        """Take what is not given from this process's runtime and switches."""
        allowed = settings.SWITCHES.enable_factor_fingerprint_rebuild
        self._engine = engine or runtime.engine()
        self._ledger = ledger or runtime.factor_ledger()
        self._candles = candles or candle_store()
        self._rebuilds = allowed if rebuilds is None else rebuilds
        self._at_once = at_once
        self._every = every
        self._kept = KeptStates()

    def apply(self, writer: SeriesWriter, change: Change) -> Iterable[Notice]:
        """See Stage.apply. Raises LedgerOutdated where a rebuild is due but not allowed."""
        batch = _Batch(
            change,
            self._ledger.writing(writer),
            StoredCandles(self._candles, change),
            self._kept.take(change.series),
        )
        told, kept = self._go_on(batch) or self._catch_up(batch)
        writer.on_commit(partial(self._kept.put, change.series, kept))
        change.products[PRODUCT] = told
        return [] if told.dropped_from is None else [_rebuilt(change, told.dropped_from)]

    def _go_on(self, batch: _Batch) -> tuple[Told, Kept] | None:
        """The live path: the state that was kept is just what the ledger stands at.

        None when it can't be. When only another process's writing shows that it is not, the batch
        fails and is run again, without a kept state then.
        """
        kept, change = batch.kept, batch.change
        at = self._at(_head(change), change)
        if kept is None or kept.at != at or batch.wish is not None:
            return None
        fold = _Fold(self._engine, kept.state, self._every)
        fold.run(change.fresh)
        after = self._at(fold.state.head_time, change)
        batch.ledger.append_late(at, after, fold.ticks)
        return self._done(batch, fold, after, dropped_from=None)

    def _catch_up(self, batch: _Batch) -> tuple[Told, Kept]:
        known = batch.ledger.state()
        stale_from = self._stale_from(batch, known)
        try:
            done = self._redo(batch, known, stale_from=stale_from)
        except StateError:
            log.warning("%s: saved states are of no use, all is done again", batch.change.series)
            done = self._redo(batch, known, stale_from=0)
        if done is None:
            raise LedgerOutdated(f"{batch.change.series}: the ledger was written without its lock")
        return done

    def _redo(
        self, batch: _Batch, known: LedgerState | None, *, stale_from: int | None
    ) -> tuple[Told, Kept] | None:
        reached = NOTHING.head_time if known is None else known.head_time
        dropped_from = None
        if stale_from is not None and stale_from <= reached:
            batch.ledger.truncate(stale_from)
            dropped_from = stale_from
            reached = stale_from - 1
        state = self._state_at(batch, known, reached=reached)
        fold = _Fold(self._engine, state, self._every)
        todo = self._todo(batch, reached)
        return self._write(batch, fold, todo, expected=known, dropped_from=dropped_from)

    def _stale_from(self, batch: _Batch, known: LedgerState | None) -> int | None:
        """The earliest time from which on the ledger is not right; None when all of it is."""
        change = batch.change
        if known is None:
            return None
        if known.fingerprint != self._engine.fingerprint:
            if not self._rebuilds and batch.wish is None:
                raise LedgerOutdated(f"{change.series}: run manage.py rebuild")
            return 0
        times = [change.revised_from, batch.wish.from_time if batch.wish else None]
        if known.epoch != change.state.epoch:
            # The past may also have changed while this stage was switched off.
            times.append(self._candles.revised_since(change.series, known.epoch))
        return min((time for time in times if time is not None), default=None)

    def _state_at(self, batch: _Batch, known: LedgerState | None, *, reached: int) -> EngineState:
        """The engine's state after the last candle whose entries stay in the ledger."""
        state = self._saved_state(batch, known, reached=reached)
        for candle in batch.candles.pages(state.head_time, reached):
            self._engine.step(state, candle)
        return state

    def _saved_state(
        self, batch: _Batch, known: LedgerState | None, *, reached: int
    ) -> EngineState:
        kept = batch.kept
        if kept is not None and known is not None and _is_usable(kept, known, reached):
            return kept.state
        checkpoint = batch.ledger.checkpoints.newest(reached + 1)
        if checkpoint is None:
            return self._engine.initial(batch.change.series.timeframe)
        return self._engine.restore(checkpoint.data, batch.candles.between)

    def _todo(self, batch: _Batch, reached: int) -> Sequence[Candle]:
        """The candles to add to the ledger: all that are missing, as far as that is not too many.

        A page of old history in front of too many is added alone: the next page of it may follow,
        and would have all the others computed once more. A few late candles are no page.
        """
        change = batch.change
        if reached == _head(change):
            return change.fresh
        most = max(self._at_once, batch.size)
        candles = batch.candles.after(reached, most + 1)
        if len(candles) <= most:
            return candles
        is_first = candles[0].candle_time == change.revised_from
        is_page = is_first and batch.size > self._at_once // PAGES_AT_ONCE
        return candles[: batch.size if is_page else most]

    def _write(
        self,
        batch: _Batch,
        fold: _Fold,
        candles: Sequence[Candle],
        *,
        expected: LedgerState | None,
        dropped_from: int | None,
    ) -> tuple[Told, Kept] | None:
        fold.run(candles)
        after = self._at(fold.state.head_time, batch.change)
        if not batch.ledger.append(expected, after, fold.ticks):
            return None
        return self._done(batch, fold, after, dropped_from=dropped_from)

    def _done(
        self, batch: _Batch, fold: _Fold, after: LedgerState, *, dropped_from: int | None
    ) -> tuple[Told, Kept]:
        shelf = batch.ledger.checkpoints
        keep(shelf, fold.checkpoints, newest=fold.state.count, every=self._every)
        told = Told(after.head_time, fold.ticks, dropped_from, batch.candles.between)
        return told, Kept(after, fold.state)

    def _at(self, head_time: int, change: Change) -> LedgerState:
        return LedgerState(head_time, change.state.epoch, self._engine.fingerprint)


def _head(change: Change) -> int:
    """The head before the change."""
    return NOTHING.head_time if change.predecessor is None else change.predecessor


def _is_usable(kept: Kept, known: LedgerState, reached: int) -> bool:
    """Whether a kept state saw nothing but candles that the ledger rightly holds."""
    untouched = kept.state.head_time == kept.at.head_time
    return untouched and kept.at.epoch == known.epoch and kept.at.head_time <= reached


def _rebuilt(change: Change, from_time: int) -> Notice:
    return Notice(
        "factor.rebuild",
        "factor history recomputed" if change.revised_from is None else "candles changed",
        {"series_id": str(change.series), "from_time": from_time},
    )
