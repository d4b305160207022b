"""The overlay stage: what the factors said of each batch, drawn into the overlay ledger.

It follows the factor ledger by the same rule as that one follows the candles: find from where the
drawings are no longer right, find a saved state before that, and draw from there.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import NamedTuple

from factors import runtime as factors
from factors.domain.checkpoints import EVERY, Checkpoint, keep, kept_between
from factors.domain.facts import StateError
from factors.domain.ledger import PRODUCT, FactorLedger, Told
from factors.stored_candles import StoredCandles
from market.domain.change import Change, Notice
from market.domain.series import SeriesId
from market.domain.store import CandleStore, SeriesWriter
from market.runtime import candle_store
from overlays import runtime
from overlays.domain.instruction import Change as Drawn
from overlays.domain.ledger import (
    LedgerState,
    OverlayLedger,
    OverlayLedgerWriter,
    Position,
)
from overlays.domain.renderer import OverlayEngine, OverlayState, Tick
from overlays.told import FactorTicks

log = logging.getLogger(__name__)

REQUEST = "overlays.redraw"
"""Where in a change's products a Redraw waits for the stage."""

AT_ONCE = 20_000
"""Most candles that one transaction draws beyond what the factor stage hands over."""

MOST_KEPT = 256

BEGINNING = -1


class LedgerTaken(Exception):
    """The ledger was written by somebody without the lock of its series."""


@dataclass(frozen=True, slots=True)
class Redraw:
    """A wish that the drawings be made anew from the candle at `from_time` on.

    Without a time: that they be brought up to the factor ledger.
    """

    from_time: int | None = None


class Kept(NamedTuple):
    """An engine state after `candle_count` candles, and where the ledger stood then."""

    at: Position
    state: OverlayState
    candle_count: int


@dataclass(slots=True)
class _Fold:
    """An engine state on its way through ticks, and what came of it."""

    engine: OverlayEngine
    state: OverlayState
    candle_count: int
    every: int
    drawn: list[Drawn] = field(default_factory=list)
    checkpoints: list[Checkpoint] = field(default_factory=list)

    def skip(self, ticks: Iterable[Tick]) -> None:
        """Take ticks in whose drawings stand in the ledger."""
        for each in ticks:
            self.engine.step(self.state, each)
            self.candle_count += 1

    def run(self, ticks: Sequence[Tick]) -> None:
        """Take ticks in; dump the state where a checkpoint will be kept."""
        due = kept_between(self.candle_count, self.candle_count + len(ticks), every=self.every)
        for each in ticks:
            self.drawn += self.engine.step(self.state, each)
            self.candle_count += 1
            if self.candle_count in due:
                dump = self.engine.dump(self.state)
                self.checkpoints.append(Checkpoint(each.time, self.candle_count, dump))


@dataclass(frozen=True, slots=True)
class _Batch:
    """What a change asks of the stage, with where it reads and writes."""

    change: Change
    told: Told
    ledger: OverlayLedgerWriter
    ticks: FactorTicks
    kept: Kept | None

    @property
    def wish(self) -> Redraw | None:
        """The redrawing that came with the change."""
        found: Redraw | None = self.change.products.get(REQUEST)
        return found


class OverlayStage:
    """Brings the overlay ledger up to the factor ledger, which the stage before it wrote.

    A ledger that is far behind comes up by `at_once` candles with each batch; until then readers
    are told that it is not there yet. Without the factor stage it does nothing. Near the newest
    candle an engine state is saved `every` so many.
    """

    name = "overlay.ingest_closed"

    def __init__(
        self,
        ledger: OverlayLedger | None = None,
        *,
        engine: OverlayEngine | None = None,
        fingerprint: str | None = None,
        told_by: FactorLedger | None = None,
        candles: CandleStore | None = None,
        at_once: int = AT_ONCE,
        every: int = EVERY,
    ) -> None:
        """Take what is not given from this process's runtime."""
        self._ledger = ledger or runtime.overlay_ledger()
        self._engine = engine or runtime.engine()
        self._fingerprint = fingerprint or runtime.fingerprint()
        self._told_by = told_by or factors.factor_ledger()
        self._candles = candles or candle_store()
        self._at_once = at_once
        self._every = every
        self._kept: dict[SeriesId, Kept] = {}
        self._mutex = threading.Lock()

    def apply(self, writer: SeriesWriter, change: Change) -> Iterable[Notice]:
        """See Stage.apply. Raises LedgerTaken."""
        told: Told | None = change.products.get(PRODUCT)
        if told is None:
            return []
        series = change.series
        candles = StoredCandles(self._candles, change)
        ticks = FactorTicks(series, self._told_by, candles, told)
        batch = _Batch(change, told, self._ledger.writing(writer), ticks, self._take(series))
        kept = self._go_on(batch) or self._catch_up(batch)
        writer.on_commit(partial(self._put, series, kept))
        return []

    def _go_on(self, batch: _Batch) -> Kept | None:
        """The live path: the state that was kept is just what the ledger stands at.

        None when it can't be. When only another process's writing shows that it is not, the batch
        fails and is run again, without a kept state then.
        """
        kept, change = batch.kept, batch.change
        head = BEGINNING if change.predecessor is None else change.predecessor
        at = self._at(head, change)
        asked = batch.wish is not None or batch.told.dropped_from is not None
        if kept is None or kept.at != at or asked:
            return None
        fold = _Fold(self._engine, kept.state, kept.candle_count, self._every)
        fold.run(list(batch.ticks.given(batch.told.ticks)))
        after = self._at(fold.state.head_time, change)
        batch.ledger.append_late(at, after, fold.drawn)
        return self._done(batch, fold, after)

    def _catch_up(self, batch: _Batch) -> Kept:
        known = batch.ledger.state()
        stale_from = self._stale_from(batch, known)
        try:
            done = self._redo(batch, known, stale_from=stale_from)
        except StateError:
            log.warning("%s: saved drawings are of no use, all are made anew", batch.change.series)
            done = self._redo(batch, known, stale_from=0)
        if done is None:
            raise LedgerTaken(str(batch.change.series))
        return done

    def _redo(
        self, batch: _Batch, known: LedgerState | None, *, stale_from: int | None
    ) -> Kept | None:
        reached = BEGINNING if known is None else known.position.head_time
        if stale_from is not None and stale_from <= reached:
            batch.ledger.truncate(stale_from)
            reached = stale_from - 1
        fold = self._saved(batch, known, reached=reached)
        fold.skip(batch.ticks.between(fold.state.head_time, reached))
        most = max(self._at_once, len(batch.told.ticks))
        todo = list(islice(batch.ticks.between(reached, batch.told.head_time), most))
        expected = None if known is None else known.position
        return self._write(batch, fold, todo, expected=expected)

    def _stale_from(self, batch: _Batch, known: LedgerState | None) -> int | None:
        """The earliest time from which on the drawings are not right; None when all are."""
        change = batch.change
        if known is None:
            return None
        if known.position.fingerprint != self._fingerprint:
            return 0
        wished = batch.wish.from_time if batch.wish else None
        times = [batch.told.dropped_from, change.revised_from, wished]
        if known.position.epoch != change.state.epoch:
            # The past may also have changed while this stage was switched off.
            times.append(self._candles.revised_since(change.series, known.position.epoch))
        return min((time for time in times if time is not None), default=None)

    def _saved(self, batch: _Batch, known: LedgerState | None, *, reached: int) -> _Fold:
        """The newest saved state that saw nothing later than `reached`."""
        kept = batch.kept
        if kept is not None and known is not None and _is_usable(kept, known, reached):
            return _Fold(self._engine, kept.state, kept.candle_count, self._every)
        saved = batch.ledger.checkpoints.newest(reached + 1)
        if saved is None:
            return _Fold(
                self._engine, self._engine.initial(batch.change.series.timeframe), 0, self._every
            )
        return _Fold(
            self._engine, self._engine.restore(saved.data), saved.candle_count, self._every
        )

    def _write(
        self, batch: _Batch, fold: _Fold, ticks: Sequence[Tick], *, expected: Position | None
    ) -> Kept | None:
        fold.run(ticks)
        after = self._at(fold.state.head_time, batch.change)
        if not batch.ledger.append(expected, after, fold.drawn):
            return None
        return self._done(batch, fold, after)

    def _done(self, batch: _Batch, fold: _Fold, after: Position) -> Kept:
        shelf = batch.ledger.checkpoints
        keep(shelf, fold.checkpoints, newest=fold.candle_count, every=self._every)
        return Kept(after, fold.state, fold.candle_count)

    def _at(self, head_time: int, change: Change) -> Position:
        return Position(head_time, change.state.epoch, self._fingerprint)

    def _take(self, series: SeriesId) -> Kept | None:
        """The state kept of a series: taken out, so that none is here that did not land."""
        with self._mutex:
            return self._kept.pop(series, None)

    def _put(self, series: SeriesId, kept: Kept) -> None:
        with self._mutex:
            self._kept[series] = kept
            if len(self._kept) > MOST_KEPT:
                del self._kept[next(iter(self._kept))]


def _is_usable(kept: Kept, known: LedgerState, reached: int) -> bool:
    """Whether a kept state saw nothing but candles that the ledger rightly holds."""
    untouched = kept.state.head_time == kept.at.head_time
    same = kept.at[1:] == known.position[1:]
    return untouched and same and kept.at.head_time <= reached
