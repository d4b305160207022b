"""The port of the overlay ledger: the drawings of each series, and up to which candle they go.

One contract test (overlays/stores/tests/test_ledger_contract.py) holds every implementation to
this text. All times are open times in Unix seconds.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple, Protocol

from factors.domain.checkpoints import Checkpoint
from factors.domain.ledger import LedgerWriter, Position, Saved
from market.domain.series import SeriesId
from market.domain.store import SeriesWriter
from overlays.domain.instruction import Change
from overlays.domain.versions import VersionReader


class LedgerState(NamedTuple):
    """A ledger's position, and two counters for its readers.

    `tick_id` is a number from the sequence of the versions, greater than all that the ledger holds:
    it grows with every batch, also with one that changed no drawing. `takebacks` counts how often
    versions were deleted: two reads with the same count saw the same past.
    """

    position: Position
    tick_id: int
    takebacks: int


class OverlayLedgerWriter(LedgerWriter[Sequence[Change]], Protocol):
    """The ledger of one series inside the open transaction of its candles.

    `append` numbers the changes in their order, points of lines included, then the batch
    (`tick_id`).

    `truncate` deletes the versions and points that became visible at `from_time` or later. If that
    makes an older version the newest of its instruction again, or takes points from its line, and
    it draws something, it is published again as a version visible from `from_time` on: a client
    with a newer cursor has only the deleted ones, and drops the points of a line from there on.
    Truncation comes before any append of the same transaction.
    """


class OverlayLedger(Protocol):
    """The overlay ledgers of many series. Reads never compute."""

    def writing(self, writer: SeriesWriter) -> OverlayLedgerWriter:
        """The ledger of the series that `writer` has locked; it commits or fails with `writer`."""

    def state(self, series: SeriesId) -> LedgerState | None:
        """Position and counters; None for an unknown series."""

    def saved(self, series: Collection[SeriesId]) -> dict[SeriesId, Saved]:
        """Where the ledgers of several series are, in one query; without unknown series.

        Inside the transaction that has locked them, it is what their writers would read.
        """

    def origin(self, series: SeriesId) -> Checkpoint | None:
        """The state from which on the ledger is what its candles give; None: from the first."""

    def versions(self, series: SeriesId) -> VersionReader:
        """The versions of one series."""
