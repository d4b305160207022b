"""The comparison behind the look-ahead check: what was known at each candle, and what came later.

A column looks ahead if its value at a candle depends on candles after it. Then there is a moment at
which the value is another one than with the whole history. So the computation is repeated over
every prefix of the candles, from short to long, and all rows of each must stay in the next: then
they are those of the whole.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

Columns = Mapping[str, Sequence[Any]]
Compute = Callable[[int], Columns]
"""Computes the columns over the first so many candles: a value a candle, None for no value."""

TOLERANCE = 1e-9
"""How far apart two numbers may be, relative to the larger: sums in another order round otherwise.
"""

SHOWN = 60
"""Most characters of a value in a report."""


class PrefixError(Exception):
    """A computation that fails on a prefix, or gives no row for each candle."""


@dataclass(frozen=True, slots=True)
class Difference:
    """A value that changed after its candle.

    At `candle_time` (Unix seconds, the `row`-th candle from 0) the column had `known` when `before`
    candles were known, and `later` when `after` were.
    """

    column: str
    row: int
    candle_time: int
    before: int
    after: int
    known: Any
    later: Any

    def __str__(self) -> str:
        time = datetime.fromtimestamp(self.candle_time, UTC)
        place = f"{self.column} at {time:%Y-%m-%d %H:%M:%S} (candle {self.row})"
        known, later = _short(self.known), _short(self.later)
        if self.before == self.after:
            return f"{place}: {known} in one run over {self.after} candles, {later} in another"
        return f"{place}: {known} with {self.before} candles known, {later} with {self.after}"


@dataclass(frozen=True, slots=True)
class Report:
    """What a check found.

    `differences` has the first difference of each column that differs in the first prefix with any,
    earliest candle first; empty: it does not look ahead. `values` counts what there was to compare,
    `prefixes` the runs that were compared.
    """

    candles: int
    prefixes: int
    values: int
    differences: tuple[Difference, ...] = ()

    @property
    def looks_ahead(self) -> bool:
        """Whether anything differs."""
        return bool(self.differences)

    def __str__(self) -> str:
        if self.differences:
            return "\n".join(map(str, self.differences))
        found = f"no look-ahead: {self.values} values stayed over {self.prefixes} prefixes"
        return found if self.values else "nothing to compare: there is no value at any candle"


def compare(
    compute: Compute,
    times: Sequence[int],
    *,
    every: int = 1,
    warm_up: int = 1,
    tolerance: float = TOLERANCE,
    apart: Compute | None = None,
) -> Report:
    """Compare every prefix with the next one up to the whole, all rows; stop at a difference.

    `times` are the open times of all candles, ascending. Only each `every`-th prefix is compared,
    and none shorter than `warm_up`. The whole is computed twice: a computation that keeps state
    between runs, or throws dice, differs there. `apart` does the second run, if it shares no state
    with `compute`. Raises PrefixError, and ValueError for no candles and for numbers below 1.
    """
    if every < 1 or warm_up < 1:
        raise ValueError("every and warm_up must be at least 1")
    if not times:
        raise ValueError("there are no candles to compare")
    count = len(times)
    # From short to long: what a run leaves to the next one must not be known to a longer one.
    lengths = [length for length in range(warm_up, count) if length % every == 0]
    runs = [*((length, compute) for length in lengths), (count, compute), (count, apart or compute)]
    before, known = 0, None
    for number, (length, run) in enumerate(runs):
        columns = _computed(run, length)
        if known is not None:
            found = _differences(known, columns, (before, length), times, tolerance)
            if found:
                return Report(count, number, _values(columns), found)
        before, known = length, columns
    return Report(count, len(runs), _values(known or {}))


def _computed(compute: Compute, length: int) -> Columns:
    try:
        columns = compute(length)
    except Exception as error:
        raise PrefixError(f"it fails on the first {length} candles: {error!r}") from error
    wrong = next((name for name, values in columns.items() if len(values) != length), None)
    if wrong is not None:
        raise PrefixError(f"{wrong} has {len(columns[wrong])} values for {length} candles")
    return columns


def _differences(
    known: Columns,
    later: Columns,
    lengths: tuple[int, int],
    times: Sequence[int],
    tolerance: float,
) -> tuple[Difference, ...]:
    """The first difference of each column in the rows that both runs have."""
    before, after = lengths
    nothing = [None] * after
    found = []
    for name in {**known, **later}:
        earlier, longer = known.get(name, nothing), later.get(name, nothing)
        # Comparing whole lists takes a tenth of the time, and mostly they are equal.
        if list(earlier[:before]) == list(longer[:before]):
            continue
        for row in range(before):
            if not _is_same(earlier[row], longer[row], tolerance):
                values = earlier[row], longer[row]
                found.append(Difference(name, row, times[row], before, after, *values))
                break
    return tuple(sorted(found, key=lambda each: each.row))


def _is_same(one: Any, other: Any, tolerance: float) -> bool:
    if one is None or other is None:
        return one is other
    if isinstance(one, int | float) and isinstance(other, int | float):
        return one == other or math.isclose(one, other, rel_tol=tolerance)
    return bool(one == other)


def _values(columns: Columns) -> int:
    return sum(value is not None for values in columns.values() for value in values)


def _short(value: Any) -> str:
    text = "nothing" if value is None else str(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"
