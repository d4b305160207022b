"""The queries and bodies that clients may send: one model each."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field
from pydantic_core import PydanticCustomError

from market.api.error_codes import ErrorCode
from market.api.errors import validation_error
from market.domain.candle import Candle, CandleError, check_candle
from market.domain.freshness import is_withheld
from market.domain.series import SeriesId
from market.domain.timeframe import MAX_TIME

MAX_BATCH = 20_000

# Series in one file.
MOST_EXPORTED = 100


def no_boolean(value: Any) -> Any:
    """Reject booleans, which Python would accept as 1 and 0."""
    if isinstance(value, bool):
        raise PydanticCustomError("number_type", "Input should be a number, not a boolean")
    return value


def _at_most_max_time(value: int | None) -> int | None:
    """Lower a greater time, which means the same: no candle is later."""
    return value if value is None else min(value, MAX_TIME)


BodyInt = Annotated[int, BeforeValidator(no_boolean)]
# Adding zero turns -0.0 into 0.0, as every store does.
BodyFloat = Annotated[
    float,
    Field(allow_inf_nan=False),
    BeforeValidator(no_boolean),
    AfterValidator(lambda value: value + 0.0),
]
Time = Annotated[int, Field(ge=0), AfterValidator(_at_most_max_time)]
SeriesText = Annotated[
    str,
    Field(
        min_length=1,
        description="exchange:market:symbol:timeframe",
        examples=["binance:futures:BTC/USDT:1m"],
    ),
]


class CandleBody(BaseModel):
    """One candle; `candle_time` is its open time in Unix seconds (UTC)."""

    candle_time: BodyInt
    open: BodyFloat
    high: BodyFloat
    low: BodyFloat
    close: BodyFloat
    volume: BodyFloat


class ClosedCandleBody(BaseModel):
    """A closed candle of a series."""

    series_id: str
    candle: CandleBody


class FormingCandleBody(ClosedCandleBody):
    """The open candle of a series."""


class ClosedBatchBody(BaseModel):
    """Closed candles of one series, in any order; of two with one time the later item wins."""

    series_id: str
    candles: Annotated[list[CandleBody], Field(min_length=1, max_length=MAX_BATCH)]
    publish_ws: bool = False


class CandlesQuery(BaseModel):
    """A page of a series: the newest candles, or those after a time."""

    series_id: SeriesText
    since: Annotated[
        Time | None, Field(description="exclusive lower bound; absent: the newest candles")
    ] = None
    limit: Annotated[int, Field(ge=1, le=5000)] = 500


class ExportQuery(BaseModel):
    """A range of one series or several, as a file."""

    series_id: Annotated[
        list[SeriesText],
        Field(min_length=1, max_length=MOST_EXPORTED, description="repeat it for several series"),
    ]
    start: Annotated[Time, Field(alias="from", description="earliest open time")] = 0
    end: Annotated[Time, Field(alias="to", description="latest open time; absent: the newest")] = (
        MAX_TIME
    )
    since: Annotated[
        Time | None,
        Field(description="the newest open time that the client has; with one `series_id` only"),
    ] = None
    epoch: Annotated[
        int | None, Field(ge=0, description="with `since`: `X-Series-Epoch` of what it has")
    ] = None
    generation: Annotated[
        str | None,
        Field(max_length=100, description="with `since`: `X-Series-Generation` of what it has"),
    ] = None


class HistoryQuery(BaseModel):
    """A page of the index of compact history."""

    series_id: SeriesText
    before: Annotated[
        Time | None, Field(description="exclusive upper bound; absent: the newest chunks")
    ] = None
    limit: Annotated[int, Field(ge=1, le=1000)] = 100


class HistoryChunkQuery(BaseModel):
    """The series of a chunk."""

    series_id: SeriesText


class DerivedQuery(BaseModel):
    """A derived series, and which of its incomplete buckets to list."""

    series_id: SeriesText
    start: Annotated[Time, Field(description="earliest open time")] = 0
    end: Annotated[Time | None, Field(description="latest open time; absent: the newest")] = None
    limit: Annotated[int, Field(ge=1, le=5000)] = 500


class HealthQuery(BaseModel):
    """A series, and the time at which its health is determined."""

    series_id: SeriesText
    now_time: Annotated[Time | None, Field(description="Unix seconds; absent: now")] = None


class SeriesHealthQuery(BaseModel):
    """A series, and how much of it to list."""

    series_id: SeriesText
    max_recent_gaps: Annotated[int, Field(ge=1, le=50)] = 5
    recent_base_buckets: Annotated[int, Field(ge=1, le=48)] = 8


class RankingQuery(BaseModel):
    """Which markets to rank, and how many."""

    exchange: Annotated[str, Field(min_length=1, max_length=40)] = "binance"
    market: Literal["spot", "futures"]
    quote_asset: Annotated[str, Field(min_length=1, max_length=12)] = "USDT"
    limit: Annotated[int, Field(ge=1, le=200)] = 20
    ticks: Annotated[
        bool, Field(description="add `price_tick` and `price_digits` to each item")
    ] = False


class TopMarketsQuery(RankingQuery):
    """A single ranking."""

    force: Annotated[bool, Field(description="fetch now, whatever is cached")] = False


class TopMarketsStreamQuery(RankingQuery):
    """A ranking that is sent again when it changes."""

    interval_s: Annotated[float, Field(ge=0.2, le=30, allow_inf_nan=False)] = 2.0
    max_events: Annotated[int, Field(ge=0, le=1000, description="0: no limit")] = 0


class SymbolsQuery(BaseModel):
    """What to find among the symbols, and which page of it."""

    query: Annotated[
        str,
        Field(
            max_length=100,
            description=(
                "words in any order: base, base and quote, exchange, market; or a series id, with "
                "or without its timeframe; empty: all"
            ),
        ),
    ] = ""
    exchange: Annotated[
        str | None, Field(min_length=1, max_length=40, description="absent: all that are served")
    ] = None
    market: Annotated[Literal["spot", "futures"] | None, Field(description="absent: both")] = None
    limit: Annotated[int, Field(ge=1, le=100)] = 20
    cursor: Annotated[
        str | None,
        Field(max_length=400, description="`next_cursor` of the answer before, for the next page"),
    ] = None


def candle_of(body: CandleBody, *loc: str | int) -> Candle:
    """The candle of a body found at `loc`; raises ApiError 422 for an impossible one."""
    candle = Candle(body.candle_time, body.open, body.high, body.low, body.close, body.volume)
    try:
        check_candle(candle)
    except CandleError as error:
        value = getattr(body, error.field)
        if isinstance(value, int) and abs(value) >= 2**63:
            # orjson writes integers of 64 bits at most.
            value = str(value)[:50]
        item = {"type": "value_error", "loc": [*loc, error.field], "msg": str(error)}
        raise validation_error([item | {"input": value}]) from None
    return candle


def closed_candle_of(series: SeriesId, body: CandleBody, now: float, *loc: str | int) -> Candle:
    """Like candle_of; raises ApiError 422 `candle_not_closed` for one that is open at `now`."""
    candle = candle_of(body, *loc)
    if is_withheld(candle.candle_time, series.timeframe, now):
        item = {
            "type": "candle_not_closed",
            "loc": [*loc, "candle_time"],
            "msg": "the candle is still open",
            "input": candle.candle_time,
        }
        raise validation_error([item], code=ErrorCode.CANDLE_NOT_CLOSED)
    return candle
