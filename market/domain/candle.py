"""The candle, and the checks that it must pass before it is stored.

Prices and volumes are IEEE-754 doubles: they are displayed and compared, never settled.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable
from typing import NamedTuple, TypedDict

from market.domain.timeframe import MAX_TIME, Timeframe


class CandleError(ValueError):
    """An impossible candle; `field` names the wrong value."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


class CandleObject(TypedDict):
    """A candle as it is sent."""

    candle_time: int
    open: float
    high: float
    low: float
    close: float
    volume: float


class Candle(NamedTuple):
    """One candle. `candle_time` is its open time in Unix seconds, UTC.

    A named tuple, not a dataclass: the store's rows become candles by the thousand, and the driver
    and the JSON writer are fastest with tuples.
    """

    candle_time: int
    open: float
    high: float
    low: float
    close: float
    volume: float

    def as_object(self) -> CandleObject:
        """The candle as a JSON-ready mapping, in the wire's field order."""
        return {
            "candle_time": self.candle_time,
            "open": self.open,
            "high": self.high,
            "low": self.low,
            "close": self.close,
            "volume": self.volume,
        }


# How far apart two doubles may be that rounding made of one, relative to their size.
DUST = 1e-12

PRICE_FIELDS = ("open", "high", "low", "close")


def check_candle(candle: Candle, timeframe: Timeframe | None = None) -> None:
    """Raise CandleError unless the candle is possible.

    With a `timeframe` its time must also lie on the grid, as every exchange's candle does.
    """
    if not 0 <= candle.candle_time <= MAX_TIME:
        raise CandleError("candle_time", f"candle_time must lie between 0 and {MAX_TIME}")
    for field, value in zip(candle._fields[1:], candle[1:], strict=True):
        if not math.isfinite(value):
            raise CandleError(field, f"{field} must be a finite number")
    if candle.low > min(candle.open, candle.close):
        raise CandleError("low", "low must not be above open or close")
    if candle.high < max(candle.open, candle.close):
        raise CandleError("high", "high must not be below open or close")
    if candle.volume < 0:
        raise CandleError("volume", "volume must not be negative")
    if timeframe is not None and not timeframe.is_aligned(candle.candle_time):
        raise CandleError("candle_time", f"candle_time is not on the {timeframe} grid")


def sourced(candle: Candle, timeframe: Timeframe | None = None) -> Candle:
    """The candle of an exchange or a file, checked; raises CandleError as check_candle does.

    Four prices of zero are refused as well: they are a placeholder for no candle. Where rounding
    alone puts open or close outside, low and high are widened: who computes bars adds and divides
    doubles, and what they call the low is then above the open by a last digit.
    """
    if candle.high == candle.low == 0:
        raise CandleError("open", "all four prices are zero")
    lowest, highest = min(candle.open, candle.close), max(candle.open, candle.close)
    if lowest < candle.low <= lowest + DUST * abs(lowest):
        candle = candle._replace(low=lowest)
    if highest > candle.high >= highest - DUST * abs(highest):
        candle = candle._replace(high=highest)
    check_candle(candle, timeframe)
    return candle


def in_time_order(candles: Iterable[Candle]) -> list[Candle]:
    """Candles in ascending order, one for each time: of several, the last given is kept."""
    given = list(candles)
    times = [candle[0] for candle in given]
    if all(map(operator.lt, times, times[1:])):
        return given
    by_time = dict(zip(times, given, strict=True))
    return [by_time[time] for time in sorted(by_time)]


def is_closed(candle_time: int, timeframe: Timeframe, now: float) -> bool:
    """Whether the candle that opened at `candle_time` has closed at `now` (Unix seconds)."""
    return timeframe.close_of(candle_time) <= now
