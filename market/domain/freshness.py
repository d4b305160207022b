"""The rule that withholds a stored candle which is still open.

Such a candle may reach the store by a mistake of its sender, or because our clock is behind the
exchange's. It is withheld until it has closed. A time implausibly far ahead is test data and is
served (contract: coordinates 4.1).
"""

from __future__ import annotations

from market.domain.timeframe import Timeframe

# How long after its close a candle may be missing before that is worth a word, whatever its length.
LONGEST_LATE_S = 900


def late_by(head: int, timeframe: Timeframe, now: float) -> float:
    """Seconds since the close of the candle after `head`, 0 while it may still be missing.

    Short candles may be missing for two of their lengths and a minute, since there may have been
    no trade; long ones for a quarter of an hour.
    """
    late_s = now - timeframe.close_of(timeframe.close_of(head))
    return late_s if late_s > min(2 * timeframe.seconds + 60, LONGEST_LATE_S) else 0.0


def is_plausible(time: int, timeframe: Timeframe, now: float) -> bool:
    """Whether `time` is at most two candles ahead of the newest closed one."""
    return time <= timeframe.latest_closed(now) + 2 * timeframe.seconds


def is_withheld(time: int, timeframe: Timeframe, now: float) -> bool:
    """Whether the candle that opened at `time` is still open at `now` and must not be served."""
    return timeframe.latest_closed(now) < time and is_plausible(time, timeframe, now)


def clamp_cursor(cursor: int, timeframe: Timeframe, now: float) -> int:
    """Lower a cursor that points at a still open candle to the newest closed one."""
    return timeframe.latest_closed(now) if is_withheld(cursor, timeframe, now) else cursor
