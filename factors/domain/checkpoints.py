"""At which candles an engine state is kept, so that the past can be computed anew from nearby.

The older, the sparser: computing from a candle to the newest one costs at most about a quarter more
than the way itself, and a series keeps a number of states that grows with its logarithm only.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

EVERY = 512
"""Candles between two states near the newest candle."""

NEAR = 8
"""Up to an age of so many states none is thinned out."""


class Checkpoint(NamedTuple):
    """An engine state after the candle at `candle_time`, the `candle_count`-th of its series."""

    candle_time: int
    candle_count: int
    data: bytes


class CheckpointShelf(Protocol):
    """The checkpoints of one series inside the open transaction of its candles."""

    def newest(self, before: int) -> Checkpoint | None:
        """The newest state of a candle before the time `before`."""

    def counts(self) -> list[int]:
        """At which counts of candles states are kept, ascending."""

    def save(self, checkpoints: Sequence[Checkpoint], *, drop: Sequence[int]) -> None:
        """Keep states, and let go of those at the counts `drop`."""


def keep(
    shelf: CheckpointShelf, checkpoints: Sequence[Checkpoint], *, newest: int, every: int
) -> None:
    """Put new states on the shelf, and thin out the older ones of a series of `newest` candles."""
    if checkpoints:
        drop = [count for count in shelf.counts() if not is_kept(count, newest, every=every)]
        shelf.save(checkpoints, drop=drop)


def is_kept(count: int, newest: int, *, every: int = EVERY) -> bool:
    """Whether the state after the `count`-th candle is kept when the series has `newest`.

    What is kept now was kept before: thinning never asks for a state that is gone.
    """
    spacing = every << ((newest - count) // (NEAR * every)).bit_length()
    return count % spacing == 0


def kept_between(start: int, newest: int, *, every: int = EVERY) -> frozenset[int]:
    """The counts after `start`, up to `newest`, whose states are kept."""
    multiples = range((start // every + 1) * every, newest + 1, every)
    return frozenset(count for count in multiples if is_kept(count, newest, every=every))
