"""Columns of numbers as candles, for columns in which nothing is wrong."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import repeat
from math import inf, isfinite
from operator import le

from market.candle_files.judge import Judge
from market.candle_files.times import TimeRefused, Unit, unit_of
from market.domain.candle import Candle, is_closed


def candles_of(
    times: Sequence[int], values: Sequence[Sequence[float]], judge: Judge, unit: Unit | None = None
) -> list[Candle] | None:
    """Candles of a column of times and five of numbers; None if any of them may be wrong.

    `unit` is that of the times; without it, it is recognised by their size.
    """
    if not times:
        return []
    try:
        unit = unit or unit_of(min(times))
        if unit_of(max(times)) != unit:
            return None
    except TimeRefused:
        return None
    per_second = unit.per_second
    if per_second > 1:
        if any(time % per_second for time in times):
            return None
        times = [time // per_second for time in times]
    if not _are_open_times(times, judge) or not _are_sound(values):
        return None
    judge.forms[unit.name] += len(times)
    rows = zip(times, *values, strict=True)
    # What Candle._make does, without a call of Python code for each row.
    return list(map(tuple.__new__, repeat(Candle), rows))


def _are_open_times(times: Sequence[int], judge: Judge) -> bool:
    """Whether all are open times of closed candles, on the grid."""
    timeframe = judge.series.timeframe
    if min(times) < 0 or not is_closed(max(times), timeframe, judge.rules.now):
        return False
    length, offset = timeframe.seconds, timeframe.offset
    return judge.rules.off_grid or not any((time - offset) % length for time in times)


def _are_sound(values: Sequence[Sequence[float]]) -> bool:
    """Whether all are possible candles; some that are possible fail, those with a price below 0."""
    open_, high, low, close, volume = values
    # No comparison with NaN is true; what lies between two finite numbers is finite.
    pairs = ((low, open_), (low, close), (open_, high), (close, high))
    return (
        all(all(map(le, lower, upper)) for lower, upper in pairs)
        and min(low) > 0
        and max(high) < inf
        and all(map(isfinite, volume))
        and min(volume) >= 0
    )


@contextmanager
def without_collections() -> Iterator[None]:
    """Put off garbage collections, which would look at every row made so far again and again."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
