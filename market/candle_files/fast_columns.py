"""Columns of numbers as candles, for columns in which nothing is wrong."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import repeat
from typing import Any

from market.candle_files.arrow import pyarrow
from market.candle_files.judge import Judge
from market.candle_files.times import TimeRefused, Unit, unit_of
from market.domain.candle import Candle, is_closed


def candles_of(
    columns: Sequence[Any], judge: Judge, unit: Unit | None = None
) -> list[Candle] | None:
    """Candles of an int64 and five float64 columns; None if any of them may be wrong.

    `unit` is that of the times; without it, it is recognised by their size.
    """
    compute = pyarrow("pyarrow.compute")
    times, *values = columns
    if not len(times):
        return []
    if any(column.null_count for column in columns) or not _are_sound(values):
        return None
    span = compute.min_max(times).as_py()
    try:
        unit = unit or unit_of(span["min"])
        if unit_of(span["max"]) != unit:
            return None
    except TimeRefused:
        return None
    seconds = times if unit.per_second == 1 else compute.divide(times, unit.per_second)
    is_whole = unit.per_second == 1 or compute.multiply(seconds, unit.per_second).equals(times)
    if not is_whole or not _are_open_times(seconds, judge):
        return None
    judge.forms[unit.name] += len(times)
    with _without_collections():
        numbers = [column.to_pylist() for column in values]
        rows = zip(seconds.to_pylist(), *numbers, strict=True)
        # What Candle._make does, without a call of Python code for each row.
        return list(map(tuple.__new__, repeat(Candle), rows))


@contextmanager
def _without_collections() -> Iterator[None]:
    """Put off garbage collections, which would look at every row made so far again and again."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _are_open_times(seconds: Any, judge: Judge) -> bool:
    """Whether all are open times of closed candles, on the grid."""
    compute = pyarrow("pyarrow.compute")
    span = compute.min_max(seconds).as_py()
    if span["min"] < 0 or not is_closed(span["max"], judge.series.timeframe, judge.rules.now):
        return False
    if judge.rules.off_grid:
        return True
    length, offset = judge.series.timeframe.seconds, judge.series.timeframe.offset
    shifted = compute.subtract(seconds, offset)
    on_grid = compute.multiply(compute.divide(shifted, length), length)
    return bool(on_grid.equals(shifted))


def _are_sound(values: Sequence[Any]) -> bool:
    """Whether all are possible candles; some that are possible fail, those with a price below 0."""
    compute = pyarrow("pyarrow.compute")
    open_, high, low, close, volume = values
    if not all(compute.all(compute.is_finite(column)).as_py() for column in values):
        return False
    if compute.min(low).as_py() <= 0 or compute.min(volume).as_py() < 0:
        return False
    lower = compute.less_equal(low, compute.min_element_wise(open_, close))
    upper = compute.greater_equal(high, compute.max_element_wise(open_, close))
    return bool(compute.all(compute.and_(lower, upper)).as_py())
