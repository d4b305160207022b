"""What charts ask in UDF: one model for each query.

Charts compute times with floating numbers, and ask for years before 1970: both mean what they say.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, Field

from market.domain.timeframe import MAX_TIME

TickerText = Annotated[
    str,
    Field(
        min_length=1,
        max_length=200,
        description="exchange:market:symbol",
        examples=["binance:futures:BTC/USDT"],
    ),
]
ResolutionText = Annotated[
    str,
    Field(min_length=1, max_length=8, description="5, 15S, 1D, 1W", examples=["5"]),
]
ChartTime = Annotated[
    float,
    Field(allow_inf_nan=False),
    AfterValidator(lambda value: min(max(value, -MAX_TIME), MAX_TIME)),
]


class ResolveQuery(BaseModel):
    """A ticker, or the name of a symbol in any case."""

    symbol: TickerText


class SearchQuery(BaseModel):
    """What to find among the symbols."""

    query: Annotated[str, Field(max_length=100)] = ""
    type: Annotated[str, Field(max_length=40, description="futures, spot; empty: both")] = ""
    exchange: Annotated[str, Field(max_length=40, description="empty: all")] = ""
    limit: Annotated[int, Field(ge=1, le=100)] = 30


class BarsQuery(BaseModel):
    """Bars of one symbol from a time to another, or a number of them before a time."""

    symbol: TickerText
    resolution: ResolutionText
    start: Annotated[ChartTime, Field(alias="from", description="Unix seconds, inclusive")]
    end: Annotated[ChartTime, Field(alias="to", description="Unix seconds, exclusive")]
    countback: Annotated[
        int, Field(ge=0, description="at least so many bars before `to`, whatever `from` is")
    ] = 0


class MarksQuery(BaseModel):
    """Marks of one symbol between two times."""

    symbol: TickerText
    resolution: ResolutionText
    start: Annotated[ChartTime, Field(alias="from", description="Unix seconds, inclusive")]
    end: Annotated[ChartTime, Field(alias="to", description="Unix seconds, inclusive")]
