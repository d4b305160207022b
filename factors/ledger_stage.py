"""What both pipeline stages do: bring a ledger up to each batch of candles.

One rule covers the live candle, bulk history, revisions, changed logic and missed batches alike:
find from which time on the ledger is wrong, find an engine state from before that time, and go on
from there.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, Generic, Protocol

from factors.domain.checkpoints import EVERY, save_and_thin_out
from factors.domain.ledger import BringUp, LedgerWriter, Position, Saved
from factors.domain.values import ReadCandles, StateError
from factors.engine_states import Entry, Item, Kept, KeptStates, Logic, Run, State
from factors.stored_candles import StoredCandles
from market.domain.change import Change
from market.domain.series import SeriesId
from market.domain.store import CandleStore, SeriesWriter
from market.domain.timeframe import Timeframe

log = logging.getLogger(__name__)

AT_ONCE = 20_000
"""Most candles that one transaction computes beyond its own batch."""

BEGINNING = -1
"""The head time of a ledger that holds no candle."""


class LedgerOutdated(Exception):
    """The ledger comes from other logic or parameters, and automatic rebuilds are off."""


class LedgerConflict(Exception):
    """The ledger was written by a process that did not hold the lock of its series."""


class StageInput(Protocol[State, Item, Entry]):
    """What a batch gives to the engine: one item for each candle.

    `stale_from` is the earliest time at which older items changed, or from which on a recomputation
    was requested; None when the batch only adds candles. `is_requested` is true for a requested
    rerun. `candles` are the stored candles including the batch.
    """

    @property
    def stale_from(self) -> int | None: ...

    @property
    def is_requested(self) -> bool: ...

    @property
    def candles(self) -> StoredCandles: ...

    def logic(self, known: Position | None) -> Logic[State, Item, Entry]:
        """The logic of the series now; `known` is where its ledger is. May read the store."""

    def fresh(self) -> Sequence[Item]:
        """The items of the batch's candles beyond the old head."""

    def between(self, after: int, end: int) -> Iterable[Item]:
        """The items of all candles later than `after` up to `end`, in order."""

    def missing(self, reached: int, at_once: int) -> Sequence[Item]:
        """The items to add to a ledger that has reached `reached`: about `at_once` at most."""


class LedgerStage(Generic[State, Item, Entry]):
    """Brings one ledger up to each batch.

    `writing` opens the ledger of the series that a writer has locked. Code that changes the logic
    of a series, such as its parameters, must change the fingerprint of its ledger in the same
    transaction: then every process notices with its next batch, whatever state it keeps.

    A ledger that is far behind advances by `at_once` candles with each batch; until it has caught
    up, reads answer that it is behind. With `rebuilds` off, a ledger of other logic or parameters
    fails the batch instead of being recomputed. Near the newest candle a checkpoint is saved after
    every `every` candles.
    """

    def __init__(
        self,
        writing: Callable[[SeriesWriter], LedgerWriter[Entry]],
        candles: CandleStore,
        *,
        rebuilds: bool = True,
        at_once: int = AT_ONCE,
        every: int = EVERY,
    ) -> None:
        self._writing = writing
        self._candles = candles
        self._rebuilds = rebuilds
        self._at_once = at_once
        self._every = every
        self._kept: KeptStates[State, Item, Entry] = KeptStates()

    def apply(
        self, writer: SeriesWriter, change: Change, given: StageInput[State, Item, Entry]
    ) -> Run[State, Item, Entry]:
        """Bring the ledger up to a change. Raises LedgerOutdated and LedgerConflict."""
        ledger, kept = self._writing(writer), self._kept.take(change.series)
        generation = change.state.generation
        if kept is not None and kept.generation != generation:
            kept = None
        head = BEGINNING if change.predecessor is None else change.predecessor
        is_plain = given.stale_from is None and not given.is_requested
        if kept is not None and is_plain and kept.at == _position(head, change, kept.logic):
            # The live path. Should another process have moved the ledger, or its logic have
            # changed, the transaction fails with Outpaced and is run again, then without a kept
            # state.
            run = Run(kept.logic, kept.state, kept.candle_count, self._every)
            run.extend(given.fresh())
            ledger.append_late(kept.at, _position(run.head_time, change, run.logic), run.entries)
        else:
            run = self._catch_up(change, given, ledger, kept)
        after, count = _position(run.head_time, change, run.logic), run.candle_count
        save_and_thin_out(ledger.checkpoints, run.checkpoints, newest=count, every=self._every)
        after_commit = Kept(after, run.state, count, generation, run.logic)
        writer.on_commit(partial(self._kept.put, change.series, after_commit))
        return run

    def cold(self, writers: Iterable[SeriesWriter]) -> dict[SeriesId, SeriesWriter]:
        """The series whose engine states are not in memory."""
        return {each.series: each for each in writers if each.series not in self._kept}

    def begun(
        self,
        logic: Logic[State, Item, Entry],
        saved: Saved,
        timeframe: Timeframe,
        read: ReadCandles,
    ) -> Run[State, Item, Entry] | None:
        """A run from a saved state, for `resume`; None if the state can't be used."""
        if saved.checkpoint is None:
            return Run(logic, logic.engine.initial(timeframe), 0, self._every)
        try:
            state = logic.engine.restore(saved.checkpoint.data, read)
        except Exception:
            # `apply` meets it again, and fails alone.
            return None
        return Run(logic, state, saved.checkpoint.candle_count, self._every)

    def resume(
        self,
        run: Run[State, Item, Entry],
        items: Sequence[Item],
        at: Position,
        writer: SeriesWriter,
    ) -> list[Entry] | None:
        """Keep the state of a cold series, as if its last batch had been committed here.

        `items` lead from the run's state to `at`, where the ledger is. Returns their entries, which
        the ledger holds; None if they do not lead there, and nothing is kept.
        """
        step, state = run.logic.engine.step, run.state
        try:
            entries = [step(state, item) for item in items]
        except Exception:
            return None
        if run.head_time != at.head_time:
            return None
        count = run.candle_count + len(items)
        kept = Kept(at, state, count, writer.state.generation, run.logic)
        self._kept.put(writer.series, kept)
        return entries

    def _catch_up(
        self,
        change: Change,
        given: StageInput[State, Item, Entry],
        ledger: LedgerWriter[Entry],
        kept: Kept[State, Item, Entry] | None,
    ) -> Run[State, Item, Entry]:
        """Delete what is stale, then add what is missing."""
        known = ledger.position()
        logic = given.logic(known)
        stale_from = self._stale_from(change, given, known, logic)
        if stale_from is not None:
            origin = ledger.checkpoints.origin()
            if origin is not None and stale_from <= origin:
                # The states that could go on from there are removed, and candles before them.
                stale_from = 0
        bound = change.results.get(BringUp)
        resume = partial(
            self._resume,
            logic,
            given,
            ledger,
            known=known,
            at_once=self._at_once if bound is None else bound.candles,
        )
        try:
            run = resume(kept, stale_from=stale_from)
        except StateError as error:
            log.warning(
                "%s: saved states can't be used, computing from the first candle: %s",
                change.series,
                error,
            )
            run = resume(None, stale_from=0)
        if not ledger.append(known, _position(run.head_time, change, logic), run.entries):
            raise LedgerConflict(f"{change.series}: the ledger was written without its lock")
        return run

    def _stale_from(
        self,
        change: Change,
        given: StageInput[State, Item, Entry],
        known: Position | None,
        logic: Logic[State, Item, Entry],
    ) -> int | None:
        """The earliest time from which on the ledger is wrong; None when all of it is right."""
        if known is None:
            return None
        if known.fingerprint != logic.fingerprint:
            if not self._rebuilds and not given.is_requested:
                raise LedgerOutdated(f"{change.series}: run manage.py rebuild")
            return 0
        times = [given.stale_from]
        if known.epoch != change.state.epoch:
            # Candles may also have been revised while this stage was switched off.
            times.append(self._candles.revised_since(change.series, known.epoch))
        return min((time for time in times if time is not None), default=None)

    def _resume(
        self,
        logic: Logic[State, Item, Entry],
        given: StageInput[State, Item, Entry],
        ledger: LedgerWriter[Entry],
        kept: Kept[State, Item, Entry] | None,
        *,
        known: Position | None,
        stale_from: int | None,
        at_once: int,
    ) -> Run[State, Item, Entry]:
        """Compute from the newest saved state that has seen nothing stale."""
        reached = BEGINNING if known is None else known.head_time
        dropped_from = None
        if stale_from is not None and stale_from <= reached:
            ledger.truncate(stale_from)
            dropped_from, reached = stale_from, stale_from - 1
        if kept is not None and known is not None and kept.is_usable(known, reached):
            state, count = kept.state, kept.candle_count
        elif checkpoint := ledger.checkpoints.newest(reached + 1):
            state = logic.engine.restore(checkpoint.data, given.candles.between)
            count = checkpoint.candle_count
        else:
            state, count = logic.engine.initial(given.candles.series.timeframe), 0
        run = Run(logic, state, count, self._every, dropped_from)
        run.replay(given.between(state.head_time, reached))
        run.extend(given.missing(reached, at_once))
        return run


def _position(head_time: int, change: Change, logic: Logic[Any, Any, Any]) -> Position:
    return Position(head_time, change.state.epoch, logic.fingerprint)
