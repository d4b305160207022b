"""The port of the factor ledger: the facts of each series, and up to which candle they go.

One contract test (factors/stores/tests/test_ledger_contract.py) holds every implementation to this
text. All times are open times in Unix seconds. `Position` and `LedgerWriter` serve the overlay
ledger, too.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, TypeVar

from factors.domain.checkpoints import Checkpoint, Checkpoints
from factors.domain.values import Event, Head, Payload, StepResult
from market.domain.series import SeriesId
from market.domain.store import Outpaced, SeriesWriter


class Position(NamedTuple):
    """Up to where a ledger goes, and from what it was computed.

    `head_time` is the newest candle it holds; -1 before the first. `epoch` is the series' epoch
    whose candles it comes from, `fingerprint` names logic and parameters.
    """

    head_time: int
    epoch: int
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Rebuild:
    """A request to recompute both ledgers from the candle at `from_time` on.

    Without a time: to bring them up to the newest candle.
    """

    from_time: int | None = None


@dataclass(frozen=True, slots=True)
class BringUp:
    """A request to add candles that ledgers lack: at most so many, in one transaction.

    Unlike with Rebuild, a ledger of other logic is not recomputed where that is left to a command.
    """

    candles: int


@dataclass(frozen=True, slots=True)
class FactorUpdate:
    """What the factor stage did to its ledger in a batch, for the stages after it.

    `steps` is one entry for each candle that was added, ascending: often those of the batch, but
    more when the ledger had to catch up or to be recomputed, and fewer when so much is left that
    later batches go on with it. `dropped_from` is the time from which on older entries were
    deleted before that; None when the ledger only grew. It has now reached `head_time`, computed by
    the logic and parameters that `fingerprint` names.
    """

    head_time: int
    steps: Sequence[StepResult]
    dropped_from: int | None
    fingerprint: str


class LedgerView(NamedTuple):
    """A ledger at one moment: its position, events in order, and each factor's head."""

    position: Position | None
    events: Sequence[Event]
    heads: Mapping[str, Payload]


class Saved(NamedTuple):
    """Where a ledger is, and the newest saved state that leads there; None: from the beginning."""

    position: Position
    checkpoint: Checkpoint | None


class EventPlace(NamedTuple):
    """The place of an event in the order of its ledger: its candle's time, and its number."""

    candle_time: int
    number: int


class NumberedEvent(NamedTuple):
    """An event with its number, which grows with every event stored and never returns."""

    number: int
    event: Event

    @property
    def place(self) -> EventPlace:
        """Where it is in its ledger."""
        return EventPlace(self.event.candle_time, self.number)


class EventPage(NamedTuple):
    """Events of a ledger at one moment, in ledger order.

    `is_unbroken`: the event behind which the page begins is still in the ledger, and so is every
    event before it. `last` is the place behind which the next page begins, None on the last page.
    It may be beyond the last event: of other kinds, a page only skips so many.
    """

    position: Position | None
    is_unbroken: bool
    events: Sequence[NumberedEvent]
    last: EventPlace | None


MOST_SKIPPED = 20_000
"""Events that a page looks at, at least, to find those of the kinds that were asked for."""

PAGE_BYTES = 8_000_000
"""A page ends with the event whose payload takes it beyond so many bytes of JSON."""


class EventCount(NamedTuple):
    """How many events of one kind a series has."""

    factor: str
    kind: str
    event_count: int


Entry = TypeVar("Entry", contravariant=True)


class LedgerWriter(Protocol[Entry]):
    """The ledger of one series inside the open transaction of its candles."""

    checkpoints: Checkpoints

    def position(self) -> Position | None:
        """Where the ledger is; None for an unknown series."""

    def append(self, expected: Position | None, after: Position, entries: Sequence[Entry]) -> bool:
        """Add the entries of the candles behind `expected`, one each, and move to `after`.

        False, and nothing is written, when the ledger is not at `expected`.
        """

    def append_late(
        self, expected: Position | None, after: Position, entries: Sequence[Entry]
    ) -> None:
        """The same, but the write may wait for the end of the transaction.

        When the ledger is not at `expected` the whole transaction fails with
        market.domain.store.Outpaced.
        """
        if not self.append(expected, after, entries):
            raise Outpaced

    def truncate(self, from_time: int) -> None:
        """Delete entries and checkpoints at or after `from_time`; the position stays."""


class FactorLedger(Protocol):
    """The factor ledgers of many series. Reads never compute."""

    def writing(self, writer: SeriesWriter) -> LedgerWriter[StepResult]:
        """The ledger of the series that `writer` has locked; it commits or fails with `writer`."""

    def position(self, series: SeriesId) -> Position | None:
        """Where the ledger is; None for an unknown series."""

    def saved(self, series: Collection[SeriesId]) -> dict[SeriesId, Saved]:
        """Where the ledgers of several series are, in one query; without unknown series.

        Inside the transaction that has locked them, it is what their writers would read.
        """

    def origin(self, series: SeriesId) -> Checkpoint | None:
        """The state from which on the ledger is what its candles give; None: from the first."""

    def view(self, series: SeriesId, *, start: int, at_time: int, limit: int) -> LedgerView:
        """The ledger at one moment: the oldest `limit` events from `start` to `at_time`, and heads.

        The heads are the newest of each factor at or before `at_time`, however old.
        """

    def events(self, series: SeriesId, start: int, end: int) -> list[Event]:
        """All events of candles between two times (inclusive), in ledger order."""

    def event_page(
        self,
        series: SeriesId,
        *,
        start: int | EventPlace,
        end: int,
        kinds: Collection[str] | None,
        limit: int,
    ) -> EventPage:
        """The oldest `limit` events from a time on, or behind a place, up to `end` (inclusive).

        Of these `kinds`; None: of all. A page may end earlier (MOST_SKIPPED, PAGE_BYTES). Its cost
        does not depend on how many events are before or behind it.
        """

    def heads(self, series: SeriesId, start: int, end: int) -> list[Head]:
        """All heads of candles between two times (inclusive), by time, then factor."""

    def last_event_id(self, series: SeriesId) -> int:
        """The greatest number of an event; 0 without any. It grows with every event stored."""

    def event_counts(self, series: SeriesId) -> list[EventCount]:
        """How many events of each kind there are, ascending by factor and kind."""
