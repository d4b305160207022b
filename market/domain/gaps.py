"""Gaps between neighbouring candles of a series."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from market.domain.timeframe import Timeframe


class Gap(NamedTuple):
    """Two neighbouring open times (Unix seconds) that are further apart than one candle."""

    prev_time: int
    next_time: int

    @property
    def delta_seconds(self) -> int:
        """The distance between the two open times."""
        return self.next_time - self.prev_time

    def missing_candles(self, timeframe: Timeframe) -> int:
        """How many candles of the grid are missing between the two."""
        return max(0, timeframe.steps(self.prev_time, self.next_time) - 1)


def find_gaps(times: Iterable[int], timeframe: Timeframe) -> Iterator[Gap]:
    """Every gap between neighbours of ascending open times."""
    previous: int | None = None
    for time in times:
        if previous is not None and time - previous > timeframe.seconds:
            yield Gap(previous, time)
        previous = time


def missing_runs(
    times: Iterable[int], first: int, last: int, timeframe: Timeframe
) -> Iterator[tuple[int, int]]:
    """What ascending open times lack of the grid from `first` to `last`, both inclusive.

    Each run is given by its first and last missing open time.
    """
    expected = first
    for time in times:
        if time > expected:
            yield expected, time - timeframe.seconds
        expected = time + timeframe.seconds
    if expected <= last:
        yield expected, last


def merged(ranges: Iterable[tuple[int, int]], *, reach: int) -> list[tuple[int, int]]:
    """Ranges in the order of their starts; those at most `reach` seconds apart become one."""
    joined: list[tuple[int, int]] = []
    for first, last in ranges:
        if joined and first - joined[-1][1] <= reach:
            joined[-1] = (joined[-1][0], max(joined[-1][1], last))
        else:
            joined.append((first, last))
    return joined
