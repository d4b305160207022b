"""Feature columns page by page, computed from the event ledger as they are read.

No table holds them: events are never changed but by a revision or rebuild, so that a row of the
past is the same whenever it is computed (docs/decisions/0007).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from factors import runtime
from factors.domain.features import (
    EVENT_COUNT,
    FeatureTable,
    feature_names,
    feature_rows,
    may_fill,
)
from factors.domain.ledger import EventPlace, Position
from factors.domain.values import Event, Payload
from factors.events import EventsChanged, LedgerBehind, Whole, require_reached
from factors.lazy_json import LazyObject
from market.candle_files.exported import pages as candle_pages
from market.domain.series import SeriesId
from market.domain.store import SeriesState
from market.runtime import candle_store

MOST_ROWS = 5_000
"""Rows of a page at most."""

MOST_EVENTS = 20_000
"""A page ends with the candle before so many events are read."""

ATTEMPTS = 3


class FeatureCursor(NamedTuple):
    """The candle behind which the next page begins, and of which past and logic it is."""

    series_id: str
    candle_time: Whole
    epoch: Whole
    generation: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class FeaturesPage:
    """Rows of consecutive candles, with the state of series and ledger when they were read.

    `head_time` is the newest candle of the ledger, None without one. `cursor` is None on the last
    page. A page may have fewer rows than its limit and not be the last.
    """

    state: SeriesState
    fingerprint: str | None
    head_time: int | None
    table: FeatureTable
    cursor: FeatureCursor | None

    @property
    def past(self) -> tuple[int, str, str | None]:
        """What is the same for all pages that are of one past and one logic."""
        return self.state.epoch, self.state.generation, self.fingerprint


class _Moved(Exception):
    """The series was revised during the read."""


def read_features(
    series: SeriesId,
    *,
    start: int = 0,
    end: int | None = None,
    columns: Sequence[str] | None = None,
    limit: int = MOST_ROWS,
    cursor: FeatureCursor | None = None,
) -> FeaturesPage:
    """The rows of candles from `start` to `end` (inclusive), or those behind a cursor. Blocking.

    Without an end, up to the newest candle of the ledger; with one, the ledger must have reached
    it. `columns` are those of the page; None: those that have a value in it, in the order of their
    first appearance. Raises LedgerBehind and EventsChanged.
    """
    for _ in range(ATTEMPTS):
        try:
            return _read(series, start, end, columns=columns, limit=limit, cursor=cursor)
        except _Moved:
            continue
    raise EventsChanged


def feature_pages(
    series: SeriesId,
    *,
    start: int = 0,
    end: int | None = None,
    columns: Sequence[str] | None = None,
) -> Iterator[FeaturesPage]:
    """Every page of a range. Blocking; raises as `read_features` does, at any page."""
    cursor = None
    while True:
        page = read_features(series, start=start, end=end, columns=columns, cursor=cursor)
        yield page
        cursor = page.cursor
        if cursor is None:
            return


def is_known_column(name: str) -> bool:
    """Whether events of this installation's factors may fill a column."""
    factors = runtime.engine().factors
    return name == EVENT_COUNT or any(may_fill(name, each.name, each.kinds) for each in factors)


def _kinds_of(columns: Sequence[str] | None) -> list[str] | None:
    """The kinds of events that columns need; None: all. Snapshots are long, and rarely needed."""
    if columns is None or EVENT_COUNT in columns:
        return None
    needed: list[str] = []
    for factor in runtime.engine().factors:
        if not factor.kinds and any(may_fill(each, factor.name, ()) for each in columns):
            return None
        needed += [
            kind
            for kind in factor.kinds
            if not set(columns).isdisjoint(feature_names(factor.name, kind))
        ]
    return needed


def _read(
    series: SeriesId,
    start: int,
    end: int | None,
    *,
    columns: Sequence[str] | None,
    limit: int,
    cursor: FeatureCursor | None,
) -> FeaturesPage:
    store = candle_store()
    state = store.state(series)
    position = runtime.factor_ledger().position(series)
    if cursor is not None:
        _require_unchanged(cursor, series, state, position)
        start = cursor.candle_time + 1
    if state.head is None:
        return FeaturesPage(state, None, None, FeatureTable(columns), None)
    if cursor is None:
        start = max(start, store.first(series) or 0)
    reached = require_reached(position, series, end, epoch=state.epoch)
    assert position is not None
    if cursor is not None and reached < cursor.candle_time:
        raise LedgerBehind
    last = reached if end is None or end >= reached else store.floor(series, end) or 0
    candles = next(candle_pages(store, series, start, last, size=limit), [])
    times, events = _events(
        series, [each.candle_time for each in candles], position, _kinds_of(columns)
    )
    # Candles and events are of one past only if there was no other in between.
    if store.state(series)[1:] != state[1:]:
        raise _Moved
    table = FeatureTable(columns)
    for row in feature_rows(times, events):
        table.add(row)
    following = None
    if times and times[-1] < last:
        following = FeatureCursor(
            str(series), times[-1], state.epoch, state.generation, position.fingerprint
        )
    return FeaturesPage(state, position.fingerprint, reached, table, following)


def _require_unchanged(
    cursor: FeatureCursor, series: SeriesId, state: SeriesState, position: Position | None
) -> None:
    """Raise EventsChanged if a row behind the cursor may be another one now."""
    if cursor.generation != state.generation or cursor.epoch > state.epoch:
        raise EventsChanged
    if position is None or cursor.fingerprint != position.fingerprint:
        raise EventsChanged
    if cursor.epoch < state.epoch:
        revised = candle_store().revised_since(series, cursor.epoch)
        if revised is None or revised <= cursor.candle_time:
            raise EventsChanged


def _events(
    series: SeriesId, times: list[int], position: Position, kinds: Collection[str] | None
) -> tuple[list[int], list[Event]]:
    """The candle times whose events are read, and their events without what no column needs."""
    found: list[Event] = []
    start: int | EventPlace | None = times[0] if times else None
    while start is not None:
        page = runtime.factor_ledger().event_page(
            series, start=start, end=times[-1], kinds=kinds, limit=MOST_ROWS
        )
        at = page.position
        if not page.is_unbroken or at is None or at.head_time < times[-1] or at[1:] != position[1:]:
            raise _Moved
        found += [event._replace(payload=_of_use(event.payload)) for _, event in page.events]
        start = page.last
        if start is not None and len(found) >= MOST_EVENTS and start.candle_time > times[0]:
            # The candle of the last place may have more events.
            return [time for time in times if time < start.candle_time], found
    return times, found


def _of_use(payload: Payload) -> Payload:
    """The field of a payload that a column may need."""
    # Long snapshots are not parsed to find that they have none.
    if isinstance(payload, LazyObject) and '"direction":' not in payload.text:
        return {}
    return {"direction": payload.get("direction")}
