"""Rows of an exchange as candles; what is none is refused, with the reason."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from market.domain.candle import Candle, CandleError, in_time_order, sourced
from market.domain.series import SeriesId
from market.domain.timeframe import MAX_TIME, Timeframe
from market.exchanges.refused_rows import refused_rows

NOT_A_CANDLE = "candle"


class RefusedRow(NamedTuple):
    """A row that is no possible candle.

    `slot` is the open time of the candle of the grid that covers its time, None without a time.
    `is_unreadable` when it has no figures at all, rather than impossible ones.
    """

    slot: int | None
    reason: str
    is_unreadable: bool


class Rows(NamedTuple):
    """The rows of one answer: candles ascending, each time once, and what was refused."""

    candles: list[Candle]
    refused: list[RefusedRow]


def read_rows(rows: Iterable[Any], timeframe: Timeframe) -> Rows:
    """Read ccxt's rows, whatever they are."""
    candles, refused = [], []
    for row in rows:
        try:
            candles.append(candle_of(row, timeframe))
        except CandleError as error:
            slot = _slot_of(row, timeframe)
            is_unreadable = error.field == NOT_A_CANDLE or slot is None
            refused.append(RefusedRow(slot, str(error), is_unreadable))
    return Rows(in_time_order(candles), refused)


def checked(rows: Iterable[Any], series: SeriesId) -> list[Candle]:
    """ccxt's rows as candles, ascending, each time once; invalid ones are noted and dropped."""
    candles, refused = read_rows(rows, series.timeframe)
    if refused:
        refused_rows().note(series, len(refused), refused[0].reason)
    return candles


def candle_of(row: Any, timeframe: Timeframe) -> Candle:
    """One row ``[milliseconds, open, high, low, close, volume]``, copied and checked.

    Raises CandleError for anything else: whatever one row is, the others are read.
    """
    try:
        opened, first, high, low, last, volume = row[:6]
        milliseconds = int(opened)
        candle = Candle(
            candle_time=milliseconds // 1000,
            open=float(first),
            high=float(high),
            low=float(low),
            close=float(last),
            # Some exchanges send no volume for an index or for a candle without trades.
            volume=float(volume or 0.0),
        )
    except (TypeError, ValueError, IndexError, KeyError, OverflowError) as error:
        raise CandleError(NOT_A_CANDLE, f"not a candle: {error}") from error
    if 0 <= candle.candle_time <= MAX_TIME and (
        milliseconds % 1000 or not timeframe.is_aligned(candle.candle_time)
    ):
        raise CandleError("candle_time", f"off the grid of {timeframe}: {milliseconds} ms")
    return sourced(candle, timeframe)


def _slot_of(row: Any, timeframe: Timeframe) -> int | None:
    try:
        time = int(row[0]) // 1000
    except (TypeError, ValueError, IndexError, KeyError, OverflowError):
        return None
    return timeframe.open_of(time) if 0 <= time <= MAX_TIME else None
