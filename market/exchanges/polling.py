"""Live candles over REST, for a series that is not streamed."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Collection, Set

from market.domain.candle import Candle
from market.domain.feed import Closed, FeedError, FeedRefused, Forming, Interrupted
from market.domain.series import SeriesId
from market.exchanges.ccxt_history import History
from market.exchanges.rate_limit import YIELDS
from market.exchanges.streams import EventQueue, StreamLimits
from market.stopping import stop

logger = logging.getLogger(__name__)

# Newest closed candles read by each poll: enough to see a late correction.
POLLED = 3
# A closed candle is polled for after this (seconds), then ever more slowly.
FIRST_POLL_S = 0.5
SLOWEST_POLL_S = 15.0


async def poll(
    series: SeriesId,
    history: History,
    *,
    queue: EventQueue,
    limits: StreamLimits,
    until: float,
) -> None:
    """Poll until the time `until` (monotonic); raises FeedRefused without such candles."""
    failures = late = 0
    known: dict[int, Candle] = {}
    while time.monotonic() < until:
        try:
            recent = await history.recent(series, POLLED)
            for candle in recent.closed:
                if known.get(candle.candle_time) != candle:
                    queue.put(Closed(series, candle))
            if recent.forming is not None:
                queue.put(Forming(series, recent.forming))
            known = {one.candle_time: one for one in recent.closed[-POLLED:]} or known
            now = await history.now()
        except FeedRefused:
            raise
        except FeedError as error:
            failures += 1
            queue.put(Interrupted(series, str(error)))
            await asyncio.sleep(limits.retry_after(failures))
            continue
        failures = 0
        newest = max(known, default=0)
        late = late + 1 if newest < series.timeframe.latest_closed(now) else 0
        left = max(0.0, until - time.monotonic())
        await asyncio.sleep(min(left, _pause(series, now, late)))


def _pause(series: SeriesId, now: float, late: int) -> float:
    """Seconds until the next poll: for the next close, the forming candle, or a late one."""
    length = series.timeframe.seconds
    until_close = series.timeframe.open_of(now) + length - now + FIRST_POLL_S
    if late:
        return min(until_close, SLOWEST_POLL_S, FIRST_POLL_S * 2.0 ** min(late, 10))
    return min(until_close, max(2.0, min(60.0, length / 12)))


class Polls:
    """The series that are polled for a while because the exchange does not stream them."""

    def __init__(self, history: History, *, queue: EventQueue, limits: StreamLimits) -> None:
        self._history = history
        self._queue = queue
        self._limits = limits
        self._tasks: dict[SeriesId, asyncio.Task[None]] = {}
        self._attempts: dict[SeriesId, int] = {}

    @property
    def series(self) -> Set[SeriesId]:
        """What is polled."""
        return self._tasks.keys()

    def begin(self, series: SeriesId, reason: str, *, yields: bool) -> None:
        """Poll a series until it is time to try a stream again; `yields`: others come first."""
        attempts = self._attempts[series] = self._attempts.get(series, 0) + 1
        until = time.monotonic() + self._limits.restream_after(attempts)
        logger.warning("%s is polled: %s", series, reason)

        async def work() -> None:
            YIELDS.set(yields)
            try:
                await poll(
                    series, self._history, queue=self._queue, limits=self._limits, until=until
                )
            except FeedRefused as error:
                logger.warning("%s can't be polled: %s", series, error)
                await asyncio.sleep(max(0.0, until - time.monotonic()))

        self._tasks[series] = asyncio.create_task(work())

    async def ended(self, wanted: Collection[SeriesId]) -> list[SeriesId]:
        """End those that are not wanted; return them, and those to be streamed again."""
        ended = [
            series for series, task in self._tasks.items() if series not in wanted or task.done()
        ]
        await stop([self._tasks.pop(series) for series in ended])
        for series in ended:
            if series not in wanted:
                self._attempts.pop(series, None)
        return ended

    def streams_again(self, series: SeriesId) -> None:
        """A series is streamed: the next poll is as short as the first."""
        self._attempts.pop(series, None)

    async def close(self) -> None:
        """End all."""
        await stop(self._tasks.values())
