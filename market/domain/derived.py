"""The port of the derived book: how far each derived series has been made of its base.

It is written in the transaction that stores the derived candles, so after a crash at any moment it
names exactly what is left to do. One contract test covers both implementations.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple, Protocol

from market.domain.series import SeriesId
from market.domain.store import SeriesWriter

BEGINNING = 0


class Progress(NamedTuple):
    """The part of a base series that is in a derived one. Times are Unix seconds.

    Every bucket that opens at or after `since` has been made of the base as it was when `head` was
    its newest candle and `epoch` the number of its revisions. `since` is BEGINNING once all of the
    base's history is in.
    """

    since: int
    head: int
    epoch: int


class Incomplete(NamedTuple):
    """A bucket that is over although base candles are missing in it."""

    candle_time: int
    found: int
    expected: int


class Span(NamedTuple):
    """The times from `start` up to, but not including, `end`: both are opens of buckets."""

    start: int
    end: int


class Booked(NamedTuple):
    """What the book has of a series; `is_held` is whether the store takes only made candles."""

    progress: Progress
    is_held: bool


class DerivedBook(Protocol):
    """Progress and incomplete buckets of every derived series."""

    def progress(self, writer: SeriesWriter) -> Progress | None:
        """The progress of the series that is being written; None before the first time."""

    def record(
        self,
        writer: SeriesWriter,
        progress: Progress,
        *,
        spans: Sequence[Span],
        incomplete: Sequence[Incomplete],
    ) -> None:
        """Record the progress, and what is incomplete within `spans`; with the candles' commit.

        From then on other candles of the series are refused (SeriesWriter.mark_derived).
        """

    def known(self) -> dict[SeriesId, Progress]:
        """The progress of every derived series."""

    def among(self, series: Collection[SeriesId]) -> dict[SeriesId, Booked]:
        """What the book has of these series."""

    def held(self) -> list[SeriesId]:
        """The series of which only made candles may be stored, ascending."""

    def newest_incomplete(
        self, series: Collection[SeriesId], *, limit: int
    ) -> dict[SeriesId, list[Incomplete]]:
        """The newest `limit` incomplete buckets of each series that has any, ascending."""

    def incomplete(self, series: SeriesId, start: int, end: int, *, limit: int) -> list[Incomplete]:
        """The newest `limit` incomplete buckets from `start` to `end`, ascending."""
