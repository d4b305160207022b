"""What clients may ask of drawings and frames: one model for each query and body."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field

from factors.domain.slices import LONGEST_WINDOW
from market.api.requests import SeriesText, Time, no_boolean

# Greater than any number in use, and still a bigint.
GREATEST = 2**62

Number = Annotated[int, Field(ge=0), AfterValidator(lambda value: min(value, GREATEST))]
Slices = Annotated[bool, Field(description="`false`: without the field `factor_slices`")]
Window = Annotated[int, Field(ge=1, le=LONGEST_WINDOW, description="how many candles back to show")]


class DrawDeltaQuery(BaseModel):
    """A series, what the client has of its drawings, and what it shows."""

    series_id: SeriesText
    cursor_version_id: Annotated[
        Number, Field(description="`next_cursor.version_id` of the answer before; 0: nothing yet")
    ] = 0
    window_candles: Window = 2000
    at_time: Annotated[
        Time | None,
        Field(description="draw for the last candle up to this time; absent: the newest"),
    ] = None


class LiveFrameQuery(BaseModel):
    """A series, and how much of it to show."""

    series_id: SeriesText
    window_candles: Window = 2000
    factor_slices: Slices = True


class FrameQuery(BaseModel):
    """A series at a time."""

    series_id: SeriesText
    at_time: Annotated[Time, Field(description="the last candle up to this time is shown")]
    window_candles: Window = 2000
    factor_slices: Slices = True


class PollQuery(BaseModel):
    """A series, and the last record the client has of it."""

    series_id: SeriesText
    after_id: Annotated[
        Number,
        Field(description="`next_cursor.id` of the answer before, or a draw cursor; 0: nothing"),
    ] = 0
    limit: Annotated[int, Field(ge=1, le=5000, description="has no effect")] = 2000
    window_candles: Window = 2000
    factor_slices: Slices = True


class RepairBody(BaseModel):
    """A series whose drawings are to be made again."""

    series_id: SeriesText
    to_time: Annotated[Time | None, BeforeValidator(no_boolean)] = None
