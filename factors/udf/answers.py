"""The answers in UDF as the schema describes them; the views build plain JSON values."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field, RootModel


class UdfChoiceAnswer(BaseModel):
    """An exchange or a type of symbol that a search can be limited to; an empty value is all."""

    name: str
    value: str


class UdfExchangeAnswer(UdfChoiceAnswer):
    """An exchange, with a sentence about it."""

    desc: str


class UdfConfigAnswer(BaseModel):
    """What a chart may ask here."""

    supports_search: Literal[True]
    supports_group_request: Literal[False]
    supports_marks: Literal[True]
    supports_timescale_marks: Literal[True]
    supports_time: Literal[True]
    exchanges: list[UdfExchangeAnswer]
    symbols_types: list[UdfChoiceAnswer]
    supported_resolutions: list[str]


class UdfSymbolAnswer(BaseModel):
    """A symbol, its prices' scale, and the resolutions that are read from here."""

    name: str
    full_name: str
    ticker: str
    description: str
    type: str
    exchange: str
    listed_exchange: str
    session: Literal["24x7"]
    timezone: Literal["Etc/UTC"]
    format: Literal["price"]
    pricescale: Annotated[int, Field(description="parts of one unit of the quote asset")]
    minmov: Annotated[int, Field(description="by how many of them a price moves at least")]
    volume_precision: int
    has_seconds: bool
    seconds_multipliers: list[str]
    has_intraday: bool
    intraday_multipliers: list[str]
    has_daily: bool
    daily_multipliers: list[str]
    has_weekly_and_monthly: bool
    weekly_multipliers: list[str]
    monthly_multipliers: list[str]
    supported_resolutions: list[str]
    visible_plots_set: Literal["ohlcv"]
    data_status: Literal["pulsed"]


class UdfFoundAnswer(BaseModel):
    """A symbol that matches a search."""

    symbol: str
    full_name: str
    ticker: str
    description: str
    exchange: str
    type: str


class UdfBarsAnswer(BaseModel):
    """Bars as columns, ascending; or none, with the time of the newest bar before the range."""

    s: Literal["ok", "no_data"]
    t: list[int] | None = None
    o: list[float] | None = None
    h: list[float] | None = None
    l: list[float] | None = None  # noqa: E741 - the protocol's name
    c: list[float] | None = None
    v: list[float] | None = None
    nextTime: int | None = None  # noqa: N815 - the protocol's name


class UdfMarkAnswer(BaseModel):
    """A fact of a factor at the candle with which it became visible."""

    id: str
    time: int
    color: str
    text: str
    label: str
    labelFontColor: str  # noqa: N815 - the protocol's name
    minSize: int  # noqa: N815 - the protocol's name


class UdfTimescaleMarkAnswer(BaseModel):
    """A gap, at the first candle after it."""

    id: str
    time: int
    color: str
    label: str
    tooltip: list[str]


class UdfFoundListAnswer(RootModel[list[UdfFoundAnswer]]):
    """Symbols, the best match first."""


class UdfMarkListAnswer(RootModel[list[UdfMarkAnswer]]):
    """Marks at bars, ascending."""


class UdfTimescaleMarkListAnswer(RootModel[list[UdfTimescaleMarkAnswer]]):
    """Marks at the time scale, ascending."""
