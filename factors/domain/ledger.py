"""The port of the factor ledger: what factors said of each series, and how far they came.

One contract test (factors/stores/tests/test_ledger_contract.py) holds every implementation to this
text. All times are open times in Unix seconds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from factors.domain.checkpoints import CheckpointShelf
from factors.domain.facts import Event, Head, Payload, ReadCandles, StepResult
from market.domain.series import SeriesId
from market.domain.store import SeriesWriter

PRODUCT = "factors"
"""Where in a change's products the factor stage leaves its Told."""

REQUEST = "factors.rebuild"
"""Where in a change's products a Rebuild waits for the stages."""


class LedgerState(NamedTuple):
    """How far the ledger of a series is.

    `head_time` is the newest candle whose facts it holds; -1 before the first. `epoch` is the
    series' epoch whose candles it was computed from, `fingerprint` names logic and parameters.
    """

    head_time: int
    epoch: int
    fingerprint: str


class Tick(NamedTuple):
    """What one candle, quiet or not, added to the ledger."""

    candle_time: int
    result: StepResult


@dataclass(frozen=True, slots=True)
class Rebuild:
    """A wish that the ledgers be computed anew from the candle at `from_time` on.

    Without a time: that they be brought up to the newest candle.
    """

    from_time: int | None = None


@dataclass(frozen=True, slots=True)
class Told:
    """What the factor stage made of a batch, for the stages behind it.

    `ticks` is one entry for each candle that was added to the ledger, ascending: often those of
    the batch, but more when the ledger had to catch up or to be computed anew, and fewer when so
    much is left to do that later batches go on with it. `dropped_from` is the time from which on
    the ledger's older entries were thrown away before that; None when it only grew. After the
    batch the ledger stands at `head_time`. `read` gives candles as this transaction sees them.
    """

    head_time: int
    ticks: Sequence[Tick]
    dropped_from: int | None
    read: ReadCandles


class LedgerView(NamedTuple):
    """What the ledger holds at one moment: its state, events in order, and each factor's head."""

    state: LedgerState | None
    events: Sequence[Event]
    heads: Mapping[str, Payload]


class EventCount(NamedTuple):
    """How many events of one kind a series has."""

    factor: str
    kind: str
    event_count: int


class FactorLedgerWriter(Protocol):
    """The ledger of one series inside the open transaction of its candles."""

    @property
    def checkpoints(self) -> CheckpointShelf:
        """Saved states of the engine."""

    def state(self) -> LedgerState | None:
        """How far the ledger is; None for a series it knows nothing of."""

    def append(
        self, expected: LedgerState | None, after: LedgerState, ticks: Sequence[Tick]
    ) -> bool:
        """Add what candles behind `expected` gave, in one write; the ledger is at `after` then.

        False, and nothing is written, when the ledger is not as `expected`.
        """

    def append_late(
        self, expected: LedgerState | None, after: LedgerState, ticks: Sequence[Tick]
    ) -> None:
        """The same, at the latest when the transaction lands.

        When the ledger is not as `expected` that fails whole, with market.domain.store.Outpaced.
        """

    def truncate(self, from_time: int) -> None:
        """Drop events, heads and checkpoints at or after `from_time`; the state stays."""


class FactorLedger(Protocol):
    """The factor ledgers of many series. Reads never compute."""

    def writing(self, writer: SeriesWriter) -> FactorLedgerWriter:
        """The ledger of the series that `writer` has locked; it lands or fails with `writer`."""

    def state(self, series: SeriesId) -> LedgerState | None:
        """How far the ledger is; None for a series it knows nothing of."""

    def view(self, series: SeriesId, *, start: int, at_time: int, limit: int) -> LedgerView:
        """One consistent look: the oldest `limit` events from `start` to `at_time`, and heads.

        The heads are the newest of each factor at or before `at_time`, however old.
        """

    def events(self, series: SeriesId, start: int, end: int) -> list[Event]:
        """All events of candles between two times (inclusive), in ledger order."""

    def heads(self, series: SeriesId, start: int, end: int) -> list[Head]:
        """All heads of candles between two times (inclusive), by time, then factor."""

    def event_counts(self, series: SeriesId) -> list[EventCount]:
        """How many events of each kind there are, ascending by factor and kind."""
