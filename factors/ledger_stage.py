"""What both pipeline stages do: bring a ledger up to each batch of candles.

One rule covers the live candle, bulk history, revisions, changed logic and missed batches alike:
find from which time on the ledger is wrong, find an engine state from before that time, and go on
from there.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from factors.domain.checkpoints import (
    EVERY,
    Checkpoint,
    kept_between,
    save_and_thin_out,
)
from factors.domain.ledger import LedgerWriter, Position, Saved
from factors.domain.values import ReadCandles, StateError
from factors.stored_candles import StoredCandles
from market.domain.change import Change
from market.domain.series import SeriesId
from market.domain.store import CandleStore, SeriesWriter
from market.domain.timeframe import Timeframe

log = logging.getLogger(__name__)

AT_ONCE = 20_000
"""Most candles that one transaction computes beyond its own batch."""

MOST_KEPT = 8_000_000
"""Candles of all engine states that one stage keeps in memory, some 60 bytes each."""

LEAST, MOST = 1_000, 20_000
"""A state takes memory as for so many candles at least, and at most."""

BEGINNING = -1
"""The head time of a ledger that holds no candle."""


class LedgerOutdated(Exception):
    """The ledger comes from other logic or parameters, and automatic rebuilds are off."""


class LedgerConflict(Exception):
    """The ledger was written by a process that did not hold the lock of its series."""


class StageState(Protocol):
    """The state of one series; `head_time` is the newest candle it has taken."""

    head_time: int


State = TypeVar("State", bound=StageState)
Item = TypeVar("Item")
Item_contra = TypeVar("Item_contra", contravariant=True)
Entry = TypeVar("Entry")
Entry_co = TypeVar("Entry_co", covariant=True)


class StageEngine(Protocol[State, Item_contra, Entry_co]):
    """Computes one ledger entry from each candle's item; a step changes the state in place."""

    def initial(self, timeframe: Timeframe) -> State:
        """The state before the first candle."""

    def step(self, state: State, item: Item_contra) -> Entry_co:
        """Take the next candle's item; raises StateError when the state can't be continued."""

    def dump(self, state: State) -> bytes:
        """The state as bytes."""

    def restore(self, data: bytes, read: ReadCandles) -> State:
        """The state that was dumped; raises StateError for bytes of another engine."""


class Logic(NamedTuple, Generic[State, Item, Entry]):
    """An engine, and the fingerprint of ledgers that are computed with it."""

    engine: StageEngine[State, Item, Entry]
    fingerprint: str


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


class Kept(NamedTuple, Generic[State, Item, Entry]):
    """An engine state after `candle_count` candles, and the ledger's position at that moment.

    It is useless in another generation of the store: there other candles may lead to that position.
    """

    at: Position
    state: State
    candle_count: int
    generation: str
    logic: Logic[State, Item, Entry]

    @property
    def size(self) -> int:
        """The candles for which the state takes memory."""
        count = self.candle_count
        return LEAST if count < LEAST else count if count < MOST else MOST

    def is_usable(self, known: Position, reached: int) -> bool:
        """Whether the state has seen nothing but candles that the ledger rightly holds."""
        untouched = self.state.head_time == self.at.head_time
        return untouched and self.at[1:] == known[1:] and self.at.head_time <= reached


class KeptStates(Generic[State, Item, Entry]):
    """The engine states that a process keeps, of at most `most` candles in all; thread-safe.

    A state is taken out while a batch is computed with it and put back after the commit. So a
    failed batch leaves no state that has seen candles which are not stored.
    """

    def __init__(self, most: int = MOST_KEPT) -> None:
        self._most = most
        self._states: dict[SeriesId, Kept[State, Item, Entry]] = {}
        self._candles = 0
        self._mutex = threading.Lock()

    def __contains__(self, series: SeriesId) -> bool:
        return series in self._states

    def take(self, series: SeriesId) -> Kept[State, Item, Entry] | None:
        """Remove and return the state of a series."""
        with self._mutex:
            return self._removed(series)

    def put(self, series: SeriesId, kept: Kept[State, Item, Entry]) -> None:
        """Keep a state; the least recently used ones are evicted when there are too many."""
        with self._mutex:
            self._removed(series)
            self._states[series] = kept
            self._candles += kept.size
            while self._candles > self._most:
                self._removed(next(iter(self._states)))

    def _removed(self, series: SeriesId) -> Kept[State, Item, Entry] | None:
        kept = self._states.pop(series, None)
        self._candles -= 0 if kept is None else kept.size
        return kept


@dataclass(slots=True)
class Run(Generic[State, Item, Entry]):
    """An engine state that takes the items of one batch.

    `entries` are new in the ledger, one for each candle, ascending. `dropped_from` is the time from
    which on older entries were deleted first; None when the ledger only grew.
    """

    logic: Logic[State, Item, Entry]
    state: State
    candle_count: int
    every: int
    dropped_from: int | None = None
    entries: list[Entry] = field(default_factory=list)
    checkpoints: list[Checkpoint] = field(default_factory=list)

    @property
    def head_time(self) -> int:
        """The newest candle that the ledger holds after this run."""
        return self.state.head_time

    def replay(self, items: Iterable[Item]) -> None:
        """Take items whose entries are in the ledger already."""
        for item in items:
            self.logic.engine.step(self.state, item)
            self.candle_count += 1

    def extend(self, items: Sequence[Item]) -> None:
        """Compute new entries; dump the state wherever a checkpoint is due."""
        engine, state, entries, count = (
            self.logic.engine,
            self.state,
            self.entries,
            self.candle_count,
        )
        step = engine.step
        due = kept_between(count, count + len(items), every=self.every)
        for item in items:
            entries.append(step(state, item))
            count += 1
            if count in due:
                dump = engine.dump(state)
                self.checkpoints.append(Checkpoint(state.head_time, count, dump))
        self.candle_count = count


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
        try:
            run = self._resume(logic, given, ledger, kept, known=known, stale_from=stale_from)
        except StateError as error:
            log.warning(
                "%s: saved states can't be used, computing from the first candle: %s",
                change.series,
                error,
            )
            run = self._resume(logic, given, ledger, None, known=known, stale_from=0)
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
        run.extend(given.missing(reached, self._at_once))
        return run


def _position(head_time: int, change: Change, logic: Logic[Any, Any, Any]) -> Position:
    return Position(head_time, change.state.epoch, logic.fingerprint)
