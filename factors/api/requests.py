"""What clients may ask about factors: one model for each query."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, Field

from factors.domain.slices import LONGEST_WINDOW
from factors.events import MOST_EVENTS
from factors.features import MOST_ROWS
from market.api.cursors import LONGEST_CURSOR
from market.api.requests import SeriesText, Time

WINDOW_CANDLES = 2000


class FactorHealthQuery(BaseModel):
    """A series."""

    series_id: SeriesText


class SlicesQuery(BaseModel):
    """A series, a time, and how many candles before it to show events of."""

    series_id: SeriesText
    at_time: Annotated[Time, Field(description="Unix seconds; the newest candle at or before it")]
    window_candles: Annotated[int, Field(ge=1, le=LONGEST_WINDOW)] = WINDOW_CANDLES


class RangeQuery(BaseModel):
    """A range of candles of a series, page by page."""

    series_id: SeriesText
    start: Annotated[
        Time, Field(alias="from", description="earliest candle time, Unix seconds")
    ] = 0
    end: Annotated[
        Time | None,
        Field(alias="to", description="latest candle time; absent: the ledger's newest candle"),
    ] = None
    cursor: Annotated[
        str | None,
        Field(
            max_length=LONGEST_CURSOR,
            description="`next_cursor` of the answer before, for the next page",
        ),
    ] = None


Names = list[Annotated[str, Field(max_length=2_000)]]
"""Names that are repeated, or separated by commas."""


class EventsQuery(RangeQuery):
    """The events of a range."""

    kinds: Annotated[
        Names | None,
        Field(
            max_length=100,
            description="kinds of events, repeated or separated by commas; absent: all",
            examples=[["pen.confirmed", "zhongshu.dead"]],
        ),
    ] = None
    limit: Annotated[int, Field(ge=1, le=MOST_EVENTS, description="events of a page")] = 1000


class FeaturesQuery(RangeQuery):
    """The feature columns of a range."""

    columns: Annotated[
        Names | None,
        Field(
            max_length=100,
            description=(
                "columns, repeated or separated by commas; absent: those with a value in the page"
            ),
            examples=[["pen_confirmed_count", "pen_confirmed_direction"]],
        ),
    ] = None
    limit: Annotated[int, Field(ge=1, le=MOST_ROWS, description="candles of a page")] = 1000
