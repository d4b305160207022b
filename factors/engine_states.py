"""The engine states of series: kept between batches, and taken through the items of one."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Generic, NamedTuple, Protocol, TypeVar

from factors.domain.checkpoints import Checkpoint, kept_between
from factors.domain.ledger import Position
from factors.domain.values import ReadCandles
from market.domain.series import SeriesId
from market.domain.timeframe import Timeframe

MOST_KEPT = 8_000_000
"""Candles of all engine states that one stage keeps in memory, some 60 bytes each."""

LEAST, MOST = 1_000, 20_000
"""A state takes memory as for so many candles at least, and at most."""


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
