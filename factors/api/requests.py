"""What clients may ask about factors: one model for each query."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, Field

from factors.domain.slices import LONGEST_WINDOW
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
