"""The open candle of a followed series: shown to those who watch, never stored."""

from __future__ import annotations

import time
from collections.abc import Callable

from market.domain.candle import Candle
from market.domain.series import SeriesId
from market.ingest.backfill import Publisher


class OpenCandle:
    """Announces the newest state of the open candle, at most one each `interval_s` seconds.

    Nothing is announced while nobody watches: for many pinned series that would be most of the
    follower's work and of the bus's.
    """

    def __init__(
        self,
        series: SeriesId,
        publisher: Publisher,
        *,
        interval_s: float,
        is_watched: Callable[[SeriesId], bool],
    ) -> None:
        self._series = series
        self._publisher = publisher
        self._interval_s = interval_s
        self._is_watched = is_watched
        self._newest: Candle | None = None
        self._shown_time = -1
        self._shown_at = 0.0

    @property
    def candle_time(self) -> int:
        """Open time (Unix seconds) of a state that is still to be shown; -1 without one."""
        return -1 if self._newest is None else self._newest.candle_time

    def heard(self, candle: Candle) -> None:
        """The candle's state came; the newest is all that counts."""
        self._newest = candle

    def wait_s(self) -> float:
        """Seconds until the next state may be shown."""
        if self.candle_time != self._shown_time:
            return 0.0
        return self._shown_at + self._interval_s - time.monotonic()

    async def show(self, expected: int | None) -> None:
        """Announce the newest state if it is of the candle that joins the stored head."""
        candle = self._newest
        if candle is None or expected is None:
            return
        if candle.candle_time < expected:
            self._newest = None
        elif candle.candle_time == expected and self.wait_s() <= 0:
            self._newest = None
            self._shown_time, self._shown_at = candle.candle_time, time.monotonic()
            if self._is_watched(self._series):
                await self._publisher.publish_forming(self._series, candle)
