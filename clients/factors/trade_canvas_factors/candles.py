"""Candles from what people have: rows, mappings, pandas and polars frames."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from market.domain.candle import Candle, CandleError, check_candle
from market.domain.timeframe import MAX_TIME, Timeframe

TIME_COLUMNS = ("candle_time", "date", "datetime", "time", "timestamp")
PRICE_COLUMNS = ("open", "high", "low", "close")
VOLUME = "volume"


class CandlesError(ValueError):
    """Candles that can't be computed from; the message names the row, counted from 0."""


def candles_of(data: Any, timeframe: Timeframe) -> list[Candle]:
    """The candles of a pandas or polars frame, or of an iterable of rows, checked.

    A frame has columns `open`, `high`, `low`, `close`, may have `volume`, and has its open times in
    one of TIME_COLUMNS or in an index of dates. A row is a Candle, a mapping with the same names,
    or a sequence of time and prices. Times are Unix seconds, or dates, in UTC if they name no zone.
    Raises CandlesError for impossible candles, times off the timeframe's grid, and times that do
    not ascend.
    """
    rows = _rows_of_frame(data) if hasattr(data, "columns") else data
    candles: list[Candle] = []
    for number, row in enumerate(rows):
        candle = candle_of(row, timeframe, number)
        if candles and candle.candle_time <= candles[-1].candle_time:
            raise CandlesError(f"row {number}: times must ascend, and each may be there only once")
        candles.append(candle)
    return candles


def candle_of(row: Any, timeframe: Timeframe, number: int = 0) -> Candle:
    """One row as a checked candle; raises CandlesError."""
    try:
        candle = _candle(row)
        check_candle(candle, timeframe)
    except CandleError as error:
        raise CandlesError(f"row {number}: {error}") from None
    except (TypeError, ValueError, OverflowError) as error:
        raise CandlesError(f"row {number} is no candle: {error}") from error
    return candle


def times_of(frame: Any) -> list[int]:
    """The open times of a frame's rows in Unix seconds; raises CandlesError."""
    return [seconds_of(value) for value in _times(frame)]


def seconds_of(value: Any) -> int:
    """A time or date as whole Unix seconds; raises CandlesError for fractions and other units."""
    if isinstance(value, datetime):
        aware = value if value.tzinfo else value.replace(tzinfo=UTC)
        value = aware.timestamp()
    seconds = int(value)
    if seconds != float(value):
        raise CandlesError(f"{value} is not a whole second")
    if seconds > MAX_TIME:
        raise CandlesError(f"{seconds} is no time in seconds: milliseconds must be divided by 1000")
    return seconds


def _candle(row: Any) -> Candle:
    values: list[Any]
    if isinstance(row, Mapping):
        values = [row.get(name) for name in PRICE_COLUMNS]
        time = next((row[name] for name in TIME_COLUMNS if name in row), None)
        volume = row.get(VOLUME, 0.0)
    else:
        time, *values = row
        volume = values.pop() if len(values) == len(PRICE_COLUMNS) + 1 else 0.0
    if time is None:
        raise ValueError(f"it has no time: none of {', '.join(TIME_COLUMNS)}")
    opened, high, low, close = map(float, values)
    return Candle(seconds_of(time), opened, high, low, close, float(volume))


def _rows_of_frame(frame: Any) -> Iterable[Sequence[Any]]:
    missing = [name for name in PRICE_COLUMNS if name not in frame.columns]
    if missing:
        raise CandlesError(f"the frame has no column {', '.join(missing)}")
    columns = [frame[name].to_list() for name in PRICE_COLUMNS]
    if VOLUME in frame.columns:
        columns.append(frame[VOLUME].to_list())
    return zip(_times(frame), *columns, strict=True)


def _times(frame: Any) -> list[Any]:
    for name in TIME_COLUMNS:
        if name in frame.columns:
            found: list[Any] = frame[name].to_list()
            return found
    index = getattr(frame, "index", None)
    if index is not None and type(index).__name__ == "DatetimeIndex":
        times: list[Any] = index.to_list()
        return times
    raise CandlesError(f"the frame has no times: no index of dates, no {', '.join(TIME_COLUMNS)}")
