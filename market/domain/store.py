"""The port of the candle store: what the pipeline, the reads and the hub ask of it.

One contract test (market/tests/test_store_contract.py) holds every implementation to this text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from market.domain.candle import Candle
from market.domain.gaps import Gap
from market.domain.series import SeriesId


class StaleFence(Exception):
    """A writer that no longer owns its series tried to write; nothing was stored."""


class StoreUnavailable(Exception):
    """The store could not take a transaction, whatever was in it; nothing of it was stored.

    Only when the connection broke at its very end may it all the same have been stored: writing
    the same again is safe. `code` is stable, `is_passing` whether the same may succeed at once.
    """

    def __init__(self, code: str, words: str, *, is_passing: bool) -> None:
        super().__init__(words)
        self.code = code
        self.is_passing = is_passing


class Outpaced(StoreUnavailable):
    """Another process wrote what a stage of this one took to be as it had left it.

    The same again succeeds, once the stage has looked.
    """

    def __init__(self) -> None:
        super().__init__("store_unavailable", "another process wrote meanwhile", is_passing=True)


class SeriesState(NamedTuple):
    """Where a series stands: open time of its newest candle, and how often its past changed."""

    head: int | None
    epoch: int


EMPTY = SeriesState(None, 0)


@dataclass(frozen=True, slots=True, order=True)
class SeriesStats:
    """A series at a glance: first and last open time (Unix seconds) and number of candles."""

    series: SeriesId
    first: int
    head: int
    count: int


class Upserted(NamedTuple):
    """What an upsert did, as ascending open times; `unchanged` counts the repeats."""

    inserted: list[int]
    revised: list[int]
    unchanged: int


class SeriesWriter(Protocol):
    """One series, locked, in an open transaction."""

    series: SeriesId
    state: SeriesState
    """Head and epoch before this transaction."""

    def upsert(self, candles: list[Candle]) -> Upserted:
        """Store ascending candles in one set-based write; equal rows stay untouched."""

    def advance(self, head: int | None, *, revised_from: int | None) -> SeriesState:
        """Record the head, and with `revised_from` that the past changed from that time on."""

    def on_rollback(self, undo: Callable[[], None]) -> None:
        """Call `undo` when this transaction fails: for stages that keep state in memory."""

    def on_commit(self, land: Callable[[], None]) -> None:
        """Call `land`, which must not fail, when this transaction has landed: likewise."""


class CandleStore(Protocol):
    """Closed candles of many series. Every read answers in ascending open time."""

    def writing(
        self, series: SeriesId, *, fence: int | None = None
    ) -> AbstractContextManager[SeriesWriter]:
        """Lock the series and open a transaction; it lands whole or, on an exception, not at all.

        With `fence`, raise StaleFence unless it is the token `next_fence` gave out last.
        """

    def next_fence(self, series: SeriesId) -> int:
        """Give out a new, greater fencing token for the series; older ones can't write again."""

    def read_after(self, series: SeriesId, after: int, limit: int) -> list[Candle]:
        """The oldest `limit` candles later than `after`."""

    def newest(self, series: SeriesId, limit: int, *, up_to: int | None = None) -> list[Candle]:
        """The newest `limit` candles (at or before `up_to`)."""

    def read_range(self, series: SeriesId, start: int, end: int, *, limit: int) -> list[Candle]:
        """The oldest `limit` candles with ``start <= candle_time <= end``."""

    def state(self, series: SeriesId) -> SeriesState:
        """Head and epoch; (None, 0) for a series that holds nothing."""

    def states(self, series: Iterable[SeriesId]) -> dict[SeriesId, SeriesState]:
        """Head and epoch of several series in one look-up; unknown ones are left out."""

    def revised_since(self, series: SeriesId, epoch: int) -> int | None:
        """The earliest time changed by the revisions after `epoch`, or None if there were none."""

    def first(self, series: SeriesId) -> int | None:
        """The earliest open time."""

    def floor(self, series: SeriesId, time: int) -> int | None:
        """The greatest stored open time at or before `time`."""

    def count(self, series: SeriesId, start: int | None = None, end: int | None = None) -> int:
        """How many candles are stored (between `start` and `end`, both inclusive)."""

    def gaps(self, series: SeriesId, start: int | None = None, end: int | None = None) -> list[Gap]:
        """Every hole between neighbours whose two candles lie in the range (inclusive)."""

    def series(self) -> list[SeriesStats]:
        """Every series that holds a candle, ascending by id."""
