"""Factor events page by page, for whatever reads a ledger from front to back.

A page is read at one moment. Pages that follow each other are as if they were read at one moment,
too: when an event behind the cursor is not what it was, the next page is refused.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, NamedTuple

from pydantic import Field

from factors import runtime
from factors.domain.ledger import EventPlace, NumberedEvent, Position
from market.domain.series import SeriesId
from market.domain.store import SeriesState
from market.domain.timeframe import MAX_TIME
from market.runtime import candle_store

# What the database can compare with its columns.
Whole = Annotated[int, Field(ge=0, lt=2**63)]

MOST_EVENTS = 5_000
"""Events of a page at most."""


class EventsChanged(Exception):
    """An event behind the cursor has changed since: read again from the beginning."""


class LedgerBehind(Exception):
    """The ledger has not reached the candles that were asked for, or is wrong there."""


class Cursor(NamedTuple):
    """The place behind which the next page begins, and of which past of the series it is."""

    series_id: str
    candle_time: Whole
    number: Whole
    epoch: Whole
    generation: str

    @property
    def place(self) -> EventPlace:
        """The place in the ledger."""
        return EventPlace(self.candle_time, self.number)


@dataclass(frozen=True, slots=True)
class EventsPage:
    """Events in ledger order, with the state of series and ledger when they were read.

    `head_time` is the newest candle of the ledger, None without one. `cursor` is None on the last
    page. A page may have fewer events than its limit, even none, and not be the last.
    """

    state: SeriesState
    head_time: int | None
    events: Sequence[NumberedEvent]
    cursor: Cursor | None


def read_page(
    series: SeriesId,
    *,
    start: int = 0,
    end: int | None = None,
    kinds: Collection[str] | None = None,
    limit: int = MOST_EVENTS,
    cursor: Cursor | None = None,
) -> EventsPage:
    """The events of candles from `start` to `end` (inclusive), or those behind a cursor. Blocking.

    Without an end, up to the newest candle of the ledger; with one, the ledger must have reached
    it. Raises LedgerBehind and EventsChanged.
    """
    # Read before the ledger: then a batch committed in between can't make the ledger look old.
    state = candle_store().state(series)
    if cursor is not None and cursor.generation != state.generation:
        raise EventsChanged
    if state.head is None:
        return EventsPage(state, None, [], None)
    page = runtime.factor_ledger().event_page(
        series,
        start=start if cursor is None else cursor.place,
        end=MAX_TIME if end is None else end,
        kinds=kinds,
        limit=limit,
    )
    if not page.is_unbroken:
        raise EventsChanged
    head_time = require_reached(page.position, series, end, epoch=state.epoch)
    following = None
    if page.last is not None:
        following = Cursor(str(series), *page.last, state.epoch, state.generation)
    return EventsPage(state, head_time, page.events, following)


def pages(
    series: SeriesId,
    *,
    start: int = 0,
    end: int | None = None,
    kinds: Collection[str] | None = None,
    limit: int = MOST_EVENTS,
    cursor: Cursor | None = None,
) -> Iterator[EventsPage]:
    """Every page of a range. Blocking; raises as `read_page` does, at any page."""
    while True:
        page = read_page(series, start=start, end=end, kinds=kinds, limit=limit, cursor=cursor)
        yield page
        cursor = page.cursor
        if cursor is None:
            return


def require_reached(
    position: Position | None, series: SeriesId, end: int | None, *, epoch: int
) -> int:
    """The newest candle of a ledger that is right up to `end`; raises LedgerBehind.

    Without an end, or with one beyond the newest candle of the ledger and of the series alike, up
    to its newest candle.
    """
    if position is None or position.head_time < 0:
        raise LedgerBehind
    reached = position.head_time
    if end is not None and end < reached:
        needed = end
    else:
        needed = reached if end is None else candle_store().floor(series, end) or 0
    if not holds(position, series, needed, epoch=epoch):
        raise LedgerBehind
    return reached


def holds(at: Position | None, series: SeriesId, time: int, *, epoch: int) -> bool:
    """Whether a ledger is right up to the candle at `time`, for candles of the given epoch."""
    if at is None or at.head_time < time:
        return False
    if at.epoch >= epoch:
        return True
    # Candles were revised while the stage was off: from there on the ledger is wrong.
    changed_from = candle_store().revised_since(series, at.epoch)
    return changed_from is None or changed_from > time


def is_known(kind: str) -> bool:
    """Whether a factor of this installation may report events of a kind."""
    factors = runtime.engine().factors
    if any(kind in factor.kinds for factor in factors):
        return True
    # A factor that declares none of the kinds that begin with its name may report any.
    name = kind.partition(".")[0]
    return any(
        factor.name == name and not any(each.startswith(f"{name}.") for each in factor.kinds)
        for factor in factors
    )
