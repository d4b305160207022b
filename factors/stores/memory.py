"""The factor ledger in this process's memory: one process, lost when it ends."""

from __future__ import annotations

import threading
from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from operator import attrgetter
from typing import TypeVar

import orjson
from typing_extensions import override

from factors.domain.checkpoints import ORIGIN, Checkpoint
from factors.domain.ledger import (
    MOST_SKIPPED,
    EventCount,
    EventPage,
    EventPlace,
    FactorLedger,
    LedgerView,
    LedgerWriter,
    NumberedEvent,
    Position,
    Saved,
)
from factors.domain.values import Event, Head, StepResult
from factors.lazy_json import LazyObject
from factors.stores.shared import MemoryCheckpoints, bounded, newest_of
from market.domain.series import SeriesId
from market.domain.store import SeriesWriter

TIME = attrgetter("candle_time")

T = TypeVar("T", Event, Head)


@dataclass(slots=True)
class _SeriesLedger:
    """The ledger of one series: events and each factor's heads, ascending in time.

    `numbers` are those of the events; `numbered` is the greatest that was ever given.
    """

    position: Position | None = None
    events: list[Event] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)
    numbered: int = 0
    heads: defaultdict[str, list[Head]] = field(default_factory=lambda: defaultdict(list))
    checkpoints: Mapping[int, Checkpoint] = field(default_factory=dict)


class MemoryFactorWriter(LedgerWriter[StepResult]):
    """Changes of one series' ledger, which become visible when its candles are committed."""

    def __init__(self, stored: _SeriesLedger, mutex: threading.Lock) -> None:
        self.checkpoints: MemoryCheckpoints = MemoryCheckpoints(stored.checkpoints)
        self._stored = stored
        self._mutex = mutex
        self._position = stored.position
        self._dropped_from: int | None = None
        self._added: list[StepResult] = []

    @override
    def position(self) -> Position | None:
        return self._position

    @override
    def append(
        self, expected: Position | None, after: Position, entries: Sequence[StepResult]
    ) -> bool:
        if self._position != expected:
            return False
        self._position = after
        self._added += entries
        return True

    @override
    def truncate(self, from_time: int) -> None:
        self._added = [each for each in self._added if each.candle_time < from_time]
        dropped = self._dropped_from
        self._dropped_from = from_time if dropped is None else min(dropped, from_time)
        self.checkpoints.truncate(from_time)

    def commit(self) -> None:
        """Make the changes visible, in one step for every reader."""
        stored, dropped = self._stored, self._dropped_from
        with self._mutex:
            if dropped is not None:
                _truncate(stored.events, dropped)
                del stored.numbers[len(stored.events) :]
                for rows in stored.heads.values():
                    _truncate(rows, dropped)
            for _, events, heads in self._added:
                stored.events += events
                first, stored.numbered = stored.numbered + 1, stored.numbered + len(events)
                stored.numbers += range(first, stored.numbered + 1)
                for head in heads:
                    stored.heads[head.factor].append(head)
            stored.checkpoints = self.checkpoints.saved
            stored.position = self._position


class MemoryFactorLedger(FactorLedger):
    """The factor ledgers beside the memory candle store."""

    def __init__(self) -> None:
        self._ledgers: dict[SeriesId, _SeriesLedger] = {}
        # Held for moments only: a commit is one step for every reader.
        self._mutex = threading.Lock()

    @override
    def writing(self, writer: SeriesWriter) -> MemoryFactorWriter:
        with self._mutex:
            stored = self._ledgers.setdefault(writer.series, _SeriesLedger())
        ledger = MemoryFactorWriter(stored, self._mutex)
        writer.on_commit(ledger.commit)
        return ledger

    @override
    def position(self, series: SeriesId) -> Position | None:
        return self._of(series).position

    @override
    def saved(self, series: Collection[SeriesId]) -> dict[SeriesId, Saved]:
        ledgers = {each: self._of(each) for each in series}
        found = {
            each: newest_of(ledger.position, ledger.checkpoints) for each, ledger in ledgers.items()
        }
        return {each: saved for each, saved in found.items() if saved is not None}

    @override
    def origin(self, series: SeriesId) -> Checkpoint | None:
        return self._of(series).checkpoints.get(ORIGIN)

    @override
    def view(self, series: SeriesId, *, start: int, at_time: int, limit: int) -> LedgerView:
        with self._mutex:
            stored = self._of(series)
            events = list(islice(_between(stored.events, start, at_time), limit))
            newest = {
                factor: heads[index - 1].head
                for factor, heads in stored.heads.items()
                if (index := bisect_right(heads, at_time, key=TIME))
            }
            return LedgerView(stored.position, events, newest)

    @override
    def events(self, series: SeriesId, start: int, end: int) -> list[Event]:
        with self._mutex:
            return _between(self._of(series).events, start, end)

    @override
    def event_page(
        self,
        series: SeriesId,
        *,
        start: int | EventPlace,
        end: int,
        kinds: Collection[str] | None,
        limit: int,
    ) -> EventPage:
        with self._mutex:
            stored = self._of(series)
            first, is_unbroken = _place_of(stored, start)
            most = limit if kinds is None else max(limit, MOST_SKIPPED)
            behind = max(first, bisect_right(stored.events, end, key=TIME))
            until = min(behind, first + most)
            seen = [*zip(stored.numbers[first:until], stored.events[first:until], strict=True)]
            position = stored.position
        matching = [NumberedEvent(*each) for each in seen if kinds is None or each[1].kind in kinds]
        found = list(bounded(_as_text(each) for each in matching[:limit]))
        if len(found) < len(matching):
            return EventPage(position, is_unbroken, found, found[-1].place)
        last = None if until == behind else NumberedEvent(*seen[-1]).place
        return EventPage(position, is_unbroken, found, last)

    @override
    def heads(self, series: SeriesId, start: int, end: int) -> list[Head]:
        with self._mutex:
            rows = self._of(series).heads.values()
            found = [head for heads in rows for head in _between(heads, start, end)]
        return sorted(found, key=lambda head: (head.candle_time, head.factor))

    @override
    def last_event_id(self, series: SeriesId) -> int:
        stored = self._of(series)
        return stored.numbered if stored.events else 0

    @override
    def event_counts(self, series: SeriesId) -> list[EventCount]:
        with self._mutex:
            counts = Counter((event.factor, event.kind) for event in self._of(series).events)
        return [EventCount(*name, count) for name, count in sorted(counts.items())]

    def _of(self, series: SeriesId) -> _SeriesLedger:
        return self._ledgers.get(series) or _SeriesLedger()


def _truncate(rows: list[T], from_time: int) -> None:
    del rows[bisect_left(rows, from_time, key=TIME) :]


def _between(rows: list[T], start: int, end: int) -> list[T]:
    return rows[bisect_left(rows, start, key=TIME) : bisect_right(rows, end, key=TIME)]


def _place_of(stored: _SeriesLedger, start: int | EventPlace) -> tuple[int, bool]:
    """The index of the first event behind a place, and whether the event there is stored."""
    if isinstance(start, int):
        return bisect_left(stored.events, start, key=TIME), True
    first = bisect_left(stored.events, start.candle_time, key=TIME)
    until = bisect_right(stored.events, start.candle_time, key=TIME)
    index = bisect_right(stored.numbers, start.number, first, until)
    return index, first < index and stored.numbers[index - 1] == start.number


def _as_text(each: NumberedEvent) -> NumberedEvent:
    """The event with its payload as PostgreSQL returns it."""
    payload = LazyObject(orjson.dumps(each.event.payload).decode())
    return each._replace(event=each.event._replace(payload=payload))
