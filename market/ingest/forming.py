"""The forming candle of a followed series: published at a limited rate, never stored."""

from __future__ import annotations

from collections.abc import Callable

from market.domain.candle import Candle
from market.domain.series import SeriesId
from market.domain.throttle import Throttle
from market.ingest.backfill import Publisher


class FormingCandle:
    """Publishes the newest state of the forming candle at most once each `interval_s` seconds.

    Nothing is published while the series has no watcher: with many pinned series that would be
    most of the work of the follower and of the bus. `candle_time` is the open time of the state
    that is still to be published, `newest`; -1 without one.
    """

    def __init__(
        self,
        series: SeriesId,
        publisher: Publisher,
        *,
        interval_s: float,
        is_watched: Callable[[SeriesId], bool],
    ) -> None:
        self.candle_time = -1
        self._series = series
        self._publisher = publisher
        self._is_watched = is_watched
        self.newest: Candle | None = None
        # The first state of each candle is published at once.
        self._throttle: Throttle[int] = Throttle(interval_s, max_keys=1)

    @property
    def wait_s(self) -> float:
        """Seconds until the newest state may be published."""
        return self._throttle.wait_s(self.candle_time)

    def update(self, candle: Candle) -> None:
        """Take a new state of the candle; only the newest is kept."""
        self.newest, self.candle_time = candle, candle.candle_time

    async def publish(self) -> None:
        """Publish the newest state if there is a watcher; either way it is done with."""
        candle, self.newest, self.candle_time = self.newest, None, -1
        if candle is None:
            return
        self._throttle.admit(candle.candle_time)
        if self._is_watched(self._series):
            await self._publisher.publish_forming(self._series, candle)
