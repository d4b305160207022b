"""The port of the overlay ledger: the versions drawn of each series, and how far they came.

One contract test (overlays/stores/tests/test_ledger_contract.py) holds every implementation to
this text. All times are open times in Unix seconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from factors.domain.checkpoints import CheckpointShelf
from market.domain.series import SeriesId
from market.domain.store import SeriesWriter
from overlays.domain.instruction import Change
from overlays.domain.versions import VersionReader


class Position(NamedTuple):
    """Up to where a ledger is drawn, and from what.

    `head_time` is the newest candle drawn; -1 before the first. `epoch` is the series' epoch whose
    candles it comes from, `fingerprint` names the logic of factors and renderers.
    """

    head_time: int
    epoch: int
    fingerprint: str


class LedgerState(NamedTuple):
    """Where a ledger stands.

    `tick_id` is a number from the sequence of the versions, greater than all that the ledger holds:
    it grows with every batch, also with one that changed no drawing. `takebacks` counts how often
    versions were taken back: two reads with the same count saw the same past.
    """

    position: Position
    tick_id: int
    takebacks: int


class OverlayLedgerWriter(Protocol):
    """The ledger of one series inside the open transaction of its candles."""

    @property
    def checkpoints(self) -> CheckpointShelf:
        """Saved states of the engine."""

    def state(self) -> LedgerState | None:
        """Where the ledger stands; None for a series it knows nothing of."""

    def append(self, expected: Position | None, after: Position, changes: Sequence[Change]) -> bool:
        """Number changes in their order, then the tick; the ledger is at `after` then.

        False, and nothing is written, when the ledger is not at `expected`.
        """

    def append_late(
        self, expected: Position | None, after: Position, changes: Sequence[Change]
    ) -> None:
        """The same, at the latest when the transaction lands.

        When the ledger is not at `expected` that fails whole, with market.domain.store.Outpaced.
        """

    def truncate(self, from_time: int) -> None:
        """Take back the versions that became visible at `from_time` or later, and checkpoints.

        What then is the newest version of an instruction and draws something is given out again,
        as a version visible from `from_time` on: a client whose cursor is behind it can have
        nothing but the versions that were taken back. The position stays. Only before anything is
        appended in the same transaction.
        """


class OverlayLedger(Protocol):
    """The overlay ledgers of many series. Reads never compute."""

    def writing(self, writer: SeriesWriter) -> OverlayLedgerWriter:
        """The ledger of the series that `writer` has locked; it lands or fails with `writer`."""

    def state(self, series: SeriesId) -> LedgerState | None:
        """Where the ledger stands; None for a series it knows nothing of."""

    def versions(self, series: SeriesId) -> VersionReader:
        """The versions of one series."""
