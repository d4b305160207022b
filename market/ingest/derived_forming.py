"""The forming candles of the series that are derived of a followed one; they are never stored."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection

from django.db import DatabaseError

from market import blocking
from market.domain.candle import Candle
from market.domain.change import Change
from market.domain.rollup import merged
from market.domain.series import SeriesId
from market.domain.store import SeriesDamaged, SeriesState
from market.domain.throttle import Throttle
from market.ingest.backfill import IngestPorts

log = logging.getLogger(__name__)

MOST_DERIVED = 100
# The base's own forming candles come at the same interval: none of them is to be missed for being
# a millisecond early.
SLACK = 0.9


class DerivedForming:
    """Publishes the forming candle of each watched series that is derived of one base series.

    The closed base candles of a bucket are read when its first forming candle is to be published,
    and kept merged: later ones are added as they are stored.
    """

    def __init__(
        self,
        base: SeriesId,
        ports: IngestPorts,
        *,
        interval_s: float,
        watched: Callable[[], Collection[SeriesId]],
    ) -> None:
        self._base = base
        self._store, self._publisher = ports.store, ports.publisher
        self._watched = watched
        # By series: the merged closed candles of its open bucket, which may be none.
        self._closed: dict[SeriesId, tuple[int, Candle | None]] = {}
        self._state: SeriesState | None = None
        # The first state of each bucket is published at once.
        self._throttle: Throttle[tuple[SeriesId, int]] = Throttle(
            interval_s * SLACK, max_keys=MOST_DERIVED
        )

    def forget(self) -> None:
        """Read the buckets again: candles were stored that `changed` was not called for."""
        self._closed.clear()
        self._state = None

    def changed(self, change: Change) -> None:
        """Add candles that were stored; whatever else changed, the buckets are read again."""
        continues = (
            self._state is not None
            and not change.past
            and change.predecessor == self._state.head
            and change.state.epoch == self._state.epoch
        )
        if not continues:
            self.forget()
            return
        self._state = change.state
        for series, (open_time, so_far) in list(self._closed.items()):
            end = series.timeframe.close_of(open_time)
            for candle in change.fresh:
                if candle.candle_time >= end:
                    del self._closed[series]
                    break
                so_far = _joined(so_far, candle, open_time)
            else:
                self._closed[series] = (open_time, so_far)

    async def publish(self, forming: Candle) -> None:
        """Publish what a forming candle of the base means for each watched derived series."""
        for series in self._watched():
            open_time = series.timeframe.open_of(forming.candle_time)
            if self._throttle.admit((series, open_time)):
                continue
            if self._closed.get(series, (None, None))[0] != open_time:
                try:
                    await blocking.run(self._read, series, open_time)
                except (DatabaseError, SeriesDamaged, TimeoutError) as error:
                    # The base is followed all the same.
                    log.warning("%s: no forming candle: %s", series, error)
                    return
            candle = _joined(self._closed[series][1], forming, open_time)
            await self._publisher.publish_forming(series, candle)

    def _read(self, series: SeriesId, open_time: int) -> None:
        state = self._store.state(self._base)
        if self._state is not None and state != self._state:
            # Another process wrote: what is kept of other series is old.
            self._closed.clear()
        end = series.timeframe.close_of(open_time) - 1
        so_far: Candle | None = None
        for candle in self._store.read_range(self._base, open_time, end, limit=end - open_time + 1):
            so_far = _joined(so_far, candle, open_time)
        self._state = state
        self._closed[series] = (open_time, so_far)


def _joined(so_far: Candle | None, later: Candle, open_time: int) -> Candle:
    if so_far is None:
        return later._replace(candle_time=open_time)
    return merged(so_far, later)
