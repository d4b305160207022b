"""At which candles an engine state is kept, so that the past can be computed anew from nearby.

The older, the sparser: computing from a candle to the newest one costs at most about a quarter more
than the way itself, and a series keeps a number of states that grows with its logarithm only.
"""

from __future__ import annotations

EVERY = 512
"""Candles between two states near the newest candle."""

NEAR = 8
"""Up to an age of so many states none is thinned out."""


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
