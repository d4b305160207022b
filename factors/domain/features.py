"""Feature columns: what the events of each candle are worth to a table with one row a candle.

A row has the events that became visible with its candle and nothing of later ones, so a table of
the past has what was known then. A candle without events has an empty row.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from factors.domain.values import Event

Value = float | int | str

EVENT_COUNT = "feature_event_count"
"""The column that counts the events of all factors."""

_OTHERS = re.compile(r"[^a-z0-9_]")


class FeatureRow(NamedTuple):
    """The values of one candle (its open time) by column; a column that is not there is null."""

    candle_time: int
    values: Mapping[str, Value]


class FeatureNames(NamedTuple):
    """The columns that events of one kind of a factor fill."""

    factor_count: str
    kind_count: str
    direction: str


def feature_names(factor: str, kind: str) -> FeatureNames:
    """The columns of a kind, which mostly begins with the factor's name and a dot."""
    name, part = _prefix(factor), _plain(kind.removeprefix(f"{factor}."))
    return FeatureNames(f"{name}_event_count", f"{name}_{part}_count", f"{name}_{part}_direction")


def may_fill(column: str, factor: str, kinds: Sequence[str]) -> bool:
    """Whether events of a factor may fill a column; any of its own if it declares no kinds."""
    if not kinds:
        return column.startswith(f"{_prefix(factor)}_")
    return any(column in feature_names(factor, kind) for kind in kinds)


def feature_row(candle_time: int, events: Iterable[Event]) -> FeatureRow:
    """The row of one candle from its events, in ledger order.

    Counts are floats. A direction is that of the last event of its kind: 1 or -1 of pens, a word of
    pivots.
    """
    values: dict[str, Value] = {}
    counts: dict[str, float] = {}
    for event in events:
        factor_count, kind_count, direction = feature_names(event.factor, event.kind)
        for name in (EVENT_COUNT, factor_count, kind_count):
            counts[name] = values[name] = counts.get(name, 0.0) + 1.0
        found = direction_of(event)
        if found is not None:
            values[direction] = found
    return FeatureRow(candle_time, values)


def direction_of(event: Event) -> Value | None:
    """The direction of an event, None without one."""
    found = event.payload.get("direction")
    return found if isinstance(found, (int, float, str)) else None


def feature_rows(times: Iterable[int], events: Iterable[Event]) -> Iterator[FeatureRow]:
    """One row for each candle time; both are ascending. Events of other times are left out."""
    pending = iter(events)
    event = next(pending, None)
    for time in times:
        own: list[Event] = []
        while event is not None and event.candle_time <= time:
            if event.candle_time == time:
                own.append(event)
            event = next(pending, None)
        yield feature_row(time, own) if own else FeatureRow(time, {})


class FeatureTable:
    """Rows as columns of one length, which appear with their first value."""

    def __init__(self, names: Sequence[str] | None = None) -> None:
        """Take the names of the columns, where they are known: others are left out."""
        self.candle_time: list[int] = []
        self._columns: dict[str, list[Value | None]] = {name: [] for name in names or ()}
        self._is_open = names is None

    def add(self, row: FeatureRow) -> None:
        """Add the row of a later candle."""
        for name, value in row.values.items():
            column = (
                self._columns.setdefault(name, []) if self._is_open else self._columns.get(name)
            )
            if column is not None:
                self._fill(column)
                column.append(value)
        self.candle_time.append(row.candle_time)

    @property
    def columns(self) -> Mapping[str, list[Value | None]]:
        """The values by column, None where a candle has none."""
        for column in self._columns.values():
            self._fill(column)
        return self._columns

    def _fill(self, column: list[Value | None]) -> None:
        """Bring a column to the length of the table: most rows have no value."""
        column += [None] * (len(self.candle_time) - len(column))


def _prefix(factor: str) -> str:
    name = _plain(factor)
    return name if name[:1].isalpha() else f"f_{name}"


def _plain(name: str) -> str:
    """A name as a part of the names of columns."""
    return _OTHERS.sub("_", name.lower())
