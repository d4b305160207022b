"""The port of the candle store, for the pipeline, the reads and the hub.

One contract test (market/stores/tests/test_store_contract.py) covers every implementation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from market.domain.candle import Candle
from market.domain.gaps import Gap
from market.domain.series import SeriesId


class StaleFence(Exception):
    """A writer that has lost its series tried to write; nothing was stored."""


class StoreUnavailable(Exception):
    """The store could not take a transaction, whatever its content; nothing of it was stored.

    Only if the connection broke during the commit may it have been stored: writing the same again
    is safe. `code` is stable; `is_passing` means that a retry may succeed at once.
    """

    def __init__(self, code: str, words: str, *, is_passing: bool) -> None:
        super().__init__(words)
        self.code = code
        self.is_passing = is_passing


class SeriesDamaged(Exception):
    """A read found a row with NaN or Infinity, which no path of ours writes.

    Other reads of the series, and other series, are not affected.
    """

    def __init__(self, series: SeriesId, candle_time: int) -> None:
        super().__init__(
            f"series_damaged: {series} has a candle without numbers at {candle_time}:"
            " manage.py verify --candles"
        )
        self.series = series
        self.candle_time = candle_time


class Outpaced(StoreUnavailable):
    """Another process has changed what a stage of this one had cached.

    A retry succeeds, because the stage then reads it again.
    """

    def __init__(self) -> None:
        super().__init__("store_unavailable", "another process wrote meanwhile", is_passing=True)


class SeriesState(NamedTuple):
    """The open time of a series' newest candle, and the number of its revisions.

    `generation` names the store's past, in which the two count: with another one they say nothing
    about what was read before. It is an opaque text; only whether it is the same matters.
    """

    head: int | None
    epoch: int
    generation: str = ""

    def is_rewound_from(self, before: SeriesState) -> bool:
        """Whether the store's past changed since it was in `before`, other than by a revision.

        It has another generation, or its head or epoch went backwards.
        """
        return (
            self.generation != before.generation
            or self.epoch < before.epoch
            or (before.head is not None and (self.head is None or self.head < before.head))
        )


EMPTY = SeriesState(None, 0)


class Fence(NamedTuple):
    """A fencing token: the number counts within one generation of the store."""

    number: int
    generation: str


@dataclass(frozen=True, slots=True, order=True)
class SeriesStats:
    """First and last open time (Unix seconds) and number of candles of a series."""

    series: SeriesId
    first: int
    head: int
    count: int


class Upserted(NamedTuple):
    """The result of an upsert, as ascending open times; `unchanged` counts repeated rows."""

    inserted: list[int]
    revised: list[int]
    unchanged: int


class SeriesWriter(Protocol):
    """One series, locked, in an open transaction."""

    series: SeriesId
    state: SeriesState
    """Head and epoch before this transaction."""
    is_derived: bool
    """Whether only candles that are made of its base may be stored.

    Of a series without candles it is known once they are written.
    """

    def upsert(self, candles: list[Candle]) -> Upserted:
        """Store ascending candles in one set-based write; equal rows are not written."""

    def advance(self, head: int | None, *, revised_from: int | None) -> SeriesState:
        """Record the head, and with `revised_from` a revision of the past from that time on."""

    def mark_derived(self) -> None:
        """Record with the commit that only made candles may be stored, by any process."""

    def on_rollback(self, undo: Callable[[], None]) -> None:
        """Call `undo` if this transaction fails: for stages that keep state in memory."""

    def on_commit(self, land: Callable[[], None]) -> None:
        """Call `land`, which must not fail, after the commit."""


class GroupWriter(Protocol):
    """Several series, each locked, in one open transaction.

    `stale` are those whose fence is not the newest, `busy` those that another writer has locked;
    both are left out.
    """

    stale: Set[SeriesId]
    busy: Set[SeriesId]

    @property
    def writers(self) -> Sequence[SeriesWriter]:
        """The series of the transaction; those that failed are not among them any more."""

    def alone(self, series: SeriesId) -> AbstractContextManager[None]:
        """Write one series: an exception inside takes back what it wrote, and is raised.

        The other series are not affected. What is written without an answer may fail later, and
        then all of them.
        """


class CandleStore(Protocol):
    """Closed candles of many series. Every read returns ascending open times.

    A read whose candles would include one with NaN or Infinity raises SeriesDamaged instead; those
    that return times alone do not.
    """

    def writing(
        self, series: SeriesId, *, fence: Fence | None = None, may_lock_late: bool = False
    ) -> AbstractContextManager[SeriesWriter]:
        """Lock the series and open a transaction, which an exception rolls back as a whole.

        With `may_lock_late` the state may be the one that this process left, and the lock taken as
        late as with the commit: that raises Outpaced if the state was another by then, and nothing
        is stored. In between only what the state decides may be read.

        With `fence`, raise StaleFence unless it is the newest token of `next_fence`, and of the
        store's present generation. Before the first candle there is nothing to protect: an older
        token is refused only once a newer one has written. A series is recorded with its first
        candle, not before.
        """

    def writing_group(
        self, fences: Mapping[SeriesId, Fence | None]
    ) -> AbstractContextManager[GroupWriter]:
        """Lock several series and open one transaction for all; an exception rolls it back.

        Each has its fence, checked as in `writing`. A lock that is held is not waited for.
        """

    def release_derived(self, series: SeriesId) -> None:
        """Take back `mark_derived`: candles of any source may be stored again."""

    def next_fence(self, series: SeriesId) -> Fence:
        """Issue a new, greater fencing token for the series; older ones can't write any more."""

    def generation(self) -> str:
        """The generation of the store: it changes when the past may have changed.

        That is after a failover, after a restore, and when `manage.py new_generation` was run.
        """

    def read_after(self, series: SeriesId, after: int, limit: int) -> list[Candle]:
        """The oldest `limit` candles later than `after`."""

    def newest(self, series: SeriesId, limit: int, *, up_to: int | None = None) -> list[Candle]:
        """The newest `limit` candles (at or before `up_to`)."""

    def read_range(self, series: SeriesId, start: int, end: int, *, limit: int) -> list[Candle]:
        """The oldest `limit` candles with ``start <= candle_time <= end``."""

    def read_ranges(
        self, spans: Mapping[SeriesId, tuple[int, int]], *, limit: int
    ) -> dict[SeriesId, list[Candle]]:
        """The candles of several series between two times each (inclusive), in one query.

        Left out are series with more than `limit` of them, and those that `read_range` would raise
        SeriesDamaged for.
        """

    def state(self, series: SeriesId) -> SeriesState:
        """Head, epoch and generation; a series without candles has no head and epoch 0."""

    def states(self, series: Iterable[SeriesId]) -> dict[SeriesId, SeriesState]:
        """The states of several series in one query; unknown ones are without candles."""

    def revised_since(self, series: SeriesId, epoch: int) -> int | None:
        """The earliest time that revisions after `epoch` changed; None if there were none."""

    def first(self, series: SeriesId) -> int | None:
        """The earliest open time."""

    def kept_from(self, series: SeriesId) -> int:
        """The time before which retention removes candles; 0: none were removed."""

    def floor(self, series: SeriesId, time: int) -> int | None:
        """The greatest stored open time at or before `time`."""

    def count(self, series: SeriesId, start: int | None = None, end: int | None = None) -> int:
        """The number of stored candles (between `start` and `end`, both inclusive)."""

    def gaps(self, series: SeriesId, start: int | None = None, end: int | None = None) -> list[Gap]:
        """Every gap between neighbours that both lie in the range (inclusive)."""

    def series(self) -> list[SeriesStats]:
        """Every series that has a candle, ascending by id."""
