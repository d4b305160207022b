"""The factor ledger in this process's memory: one process, nothing survives it."""

from __future__ import annotations

import threading
from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from operator import attrgetter
from typing import TypeVar, cast

from factors.domain.checkpoints import Checkpoint
from factors.domain.facts import Event, Head
from factors.domain.ledger import EventCount, LedgerState, LedgerView, Tick
from factors.stores.checkpoints import MemoryCheckpoints
from market.domain.series import SeriesId
from market.domain.store import Outpaced, SeriesWriter
from market.stores.memory import MemoryWriter

TIME = attrgetter("candle_time")

T = TypeVar("T", Event, Head)


@dataclass(slots=True)
class _Shelf:
    """What is held of one series: events and each factor's heads, ascending in time."""

    state: LedgerState | None = None
    events: list[Event] = field(default_factory=list)
    heads: defaultdict[str, list[Head]] = field(default_factory=lambda: defaultdict(list))
    checkpoints: Mapping[int, Checkpoint] = field(default_factory=dict)

    def truncate(self, from_time: int) -> None:
        del self.events[bisect_left(self.events, from_time, key=TIME) :]
        for heads in self.heads.values():
            del heads[bisect_left(heads, from_time, key=TIME) :]

    def extend(self, ticks: Sequence[Tick]) -> None:
        for _, (events, heads) in ticks:
            self.events += events
            for head in heads:
                self.heads[head.factor].append(head)


class MemoryLedgerWriter:
    """Changes of one series' ledger, which wait for the commit of its candles."""

    def __init__(self, shelf: _Shelf, mutex: threading.Lock) -> None:
        self._shelf = shelf
        self._mutex = mutex
        self._state = shelf.state
        self.checkpoints = MemoryCheckpoints(shelf.checkpoints)
        self._dropped_from: int | None = None
        self._ticks: list[Tick] = []

    def state(self) -> LedgerState | None:
        """See FactorLedgerWriter.state."""
        return self._state

    def append(
        self, expected: LedgerState | None, after: LedgerState, ticks: Sequence[Tick]
    ) -> bool:
        """See FactorLedgerWriter.append."""
        if self._state != expected:
            return False
        self._state = after
        self._ticks += ticks
        return True

    def append_late(
        self, expected: LedgerState | None, after: LedgerState, ticks: Sequence[Tick]
    ) -> None:
        """See FactorLedgerWriter.append_late."""
        if not self.append(expected, after, ticks):
            raise Outpaced

    def truncate(self, from_time: int) -> None:
        """See FactorLedgerWriter.truncate."""
        self._ticks = [tick for tick in self._ticks if tick.candle_time < from_time]
        dropped = self._dropped_from
        self._dropped_from = from_time if dropped is None else min(dropped, from_time)
        self.checkpoints.truncate(from_time)

    def land(self) -> None:
        """Make the changes visible, in one step for every reader."""
        shelf = self._shelf
        with self._mutex:
            if self._dropped_from is not None:
                shelf.truncate(self._dropped_from)
            shelf.extend(self._ticks)
            shelf.checkpoints = self.checkpoints.kept
            shelf.state = self._state


class MemoryFactorLedger:
    """Implements factors.domain.ledger.FactorLedger beside the memory candle store."""

    def __init__(self) -> None:
        self._shelves: dict[SeriesId, _Shelf] = {}
        # Held for moments only: a landing is one step for every reader.
        self._mutex = threading.Lock()

    def writing(self, writer: SeriesWriter) -> MemoryLedgerWriter:
        """See FactorLedger.writing."""
        with self._mutex:
            shelf = self._shelves.setdefault(writer.series, _Shelf())
        ledger = MemoryLedgerWriter(shelf, self._mutex)
        cast(MemoryWriter, writer).on_commit(ledger.land)
        return ledger

    def state(self, series: SeriesId) -> LedgerState | None:
        """See FactorLedger.state."""
        return self._shelf(series).state

    def view(self, series: SeriesId, *, start: int, at_time: int, limit: int) -> LedgerView:
        """See FactorLedger.view."""
        with self._mutex:
            shelf = self._shelf(series)
            events = list(islice(_between(shelf.events, start, at_time), limit))
            newest = {
                factor: heads[position - 1].head
                for factor, heads in shelf.heads.items()
                if (position := bisect_right(heads, at_time, key=TIME))
            }
            return LedgerView(shelf.state, events, newest)

    def events(self, series: SeriesId, start: int, end: int) -> list[Event]:
        """See FactorLedger.events."""
        with self._mutex:
            return _between(self._shelf(series).events, start, end)

    def heads(self, series: SeriesId, start: int, end: int) -> list[Head]:
        """See FactorLedger.heads."""
        with self._mutex:
            rows = self._shelf(series).heads.values()
            found = [head for heads in rows for head in _between(heads, start, end)]
        return sorted(found, key=lambda head: (head.candle_time, head.factor))

    def event_counts(self, series: SeriesId) -> list[EventCount]:
        """See FactorLedger.event_counts."""
        with self._mutex:
            counts = Counter((event.factor, event.kind) for event in self._shelf(series).events)
        return [EventCount(*name, count) for name, count in sorted(counts.items())]

    def _shelf(self, series: SeriesId) -> _Shelf:
        return self._shelves.get(series) or _Shelf()


def _between(rows: list[T], start: int, end: int) -> list[T]:
    return rows[bisect_left(rows, start, key=TIME) : bisect_right(rows, end, key=TIME)]
