"""After which candles an engine state is saved, so that recomputing can start nearby.

The older, the sparser: recomputing from a candle to the newest one takes at most about a quarter
more steps than there are candles between, and the number of states grows with the logarithm of the
series' length.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple, Protocol

EVERY = 512
"""Candles between two states near the newest candle."""

ORIGIN = 0
"""The candle count of the state after the last candle that retention lets a ledger forget.

It replaces all states before it, and is not thinned out: a revision behind it is computed from it.
"""

NEAR = 8
"""The newest states, so many of them, are never thinned out."""


class Checkpoint(NamedTuple):
    """An engine state after the candle at `candle_time`, the `candle_count`-th of its series."""

    candle_time: int
    candle_count: int
    data: bytes


class Checkpoints(Protocol):
    """The checkpoints of one series inside the open transaction of its candles."""

    def newest(self, before: int) -> Checkpoint | None:
        """The newest state of a candle before the time `before`."""

    def origin(self) -> int | None:
        """The candle time of the ORIGIN state; None as long as no candle was removed."""

    def counts(self) -> list[int]:
        """The candle counts of the saved states, ascending."""

    def save(self, checkpoints: Sequence[Checkpoint], *, keep: Collection[int]) -> None:
        """Save states, and delete older ones whose candle counts are not in `keep`."""

    def truncate(self, from_time: int) -> None:
        """Delete the states of candles at or after `from_time`."""


def save_and_thin_out(
    saved: Checkpoints, checkpoints: Sequence[Checkpoint], *, newest: int, every: int
) -> None:
    """Save new states, and thin out the older ones of a series of `newest` candles."""
    if checkpoints:
        saved.save(checkpoints, keep=kept_between(0, newest, every=every) | {ORIGIN})


def is_kept(count: int, newest: int, *, every: int = EVERY) -> bool:
    """Whether the state after the `count`-th candle is kept when the series has `newest`.

    A state that is kept now was kept before, so thinning never needs one that was deleted.
    """
    spacing = every << ((newest - count) // (NEAR * every)).bit_length()
    return count % spacing == 0


def kept_between(start: int, newest: int, *, every: int = EVERY) -> frozenset[int]:
    """The counts after `start`, up to `newest`, whose states are kept."""
    multiples = range((start // every + 1) * every, newest + 1, every)
    return frozenset(count for count in multiples if is_kept(count, newest, every=every))
