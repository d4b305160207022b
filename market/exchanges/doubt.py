"""Whether the exchange serves a subscription on which nothing has arrived yet.

A quiet market and a subscription that the exchange ignores look the same on the socket. REST tells
them apart: it shows trades that the stream did not.
"""

from __future__ import annotations

import time

from market.domain.feed import FeedError
from market.domain.series import SeriesId
from market.exchanges.ccxt_history import History, Recent
from market.exchanges.streams import StreamLimits

UNSERVED = "nothing is received although there are trades"

# Series of a socket that are compared with REST at the same time.
DOUBTS = 4

# Between two looks at a quiet market, which doubles.
LONGEST_PAUSE_S = 600.0


class Doubt:
    """Compares two looks at the newest candles; begins when a series is subscribed.

    The second look is one timeframe after the subscription (at least 10 s, at most a minute), so
    within one timeframe of the first candle due.
    """

    def __init__(self, series: SeriesId, history: History, limits: StreamLimits) -> None:
        self._series = series
        self._history = history
        self._pause_s = limits.doubt_of(series.timeframe)
        self._before: Recent | None = None
        self._failures = 0
        self._limits = limits
        self.check_at = time.monotonic() + self._pause_s

    def put_off(self) -> None:
        """Begin again: the subscription is not sent yet."""
        self._before = None
        self.check_at = time.monotonic() + self._pause_s

    async def is_unserved(self) -> bool:
        """Look again; True when something was traded since the look before.

        Sets `check_at` for the next look (monotonic).
        """
        try:
            recent = await self._history.recent(self._series, 1)
        except FeedError:
            self._failures += 1
            self.check_at = time.monotonic() + self._limits.retry_after(self._failures)
            return False
        self._failures = 0
        before, self._before = self._before, recent
        if before is not None and _traded(before, recent):
            return True
        if before is not None:
            self._pause_s = min(LONGEST_PAUSE_S, 2 * self._pause_s)
        self.check_at = time.monotonic() + self._pause_s
        return False


def _traded(before: Recent, now: Recent) -> bool:
    """Whether there were trades between two looks: a new candle or another state, with volume."""
    known = {candle.candle_time: candle for candle in (*before.closed, before.forming) if candle}
    return any(
        candle.volume > 0 and known.get(candle.candle_time) != candle
        for candle in (*now.closed, now.forming)
        if candle is not None
    )
