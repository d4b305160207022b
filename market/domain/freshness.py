"""The rule that withholds a stored candle which is still open.

Such a candle may reach the store by a mistake of its sender, or because our clock is behind the
exchange's. It is withheld until it has closed. A time implausibly far ahead is test data and is
served (contract: coordinates 4.1).
"""

from __future__ import annotations

from market.domain.timeframe import Timeframe


def is_plausible(time: int, timeframe: Timeframe, now: float) -> bool:
    """Whether `time` is at most two candles ahead of the newest closed one."""
    return time <= timeframe.latest_closed(now) + 2 * timeframe.seconds


def is_withheld(time: int, timeframe: Timeframe, now: float) -> bool:
    """Whether the candle that opened at `time` is still open at `now` and must not be served."""
    return timeframe.latest_closed(now) < time and is_plausible(time, timeframe, now)


def clamp_cursor(cursor: int, timeframe: Timeframe, now: float) -> int:
    """Lower a cursor that points at a still open candle to the newest closed one."""
    return timeframe.latest_closed(now) if is_withheld(cursor, timeframe, now) else cursor
