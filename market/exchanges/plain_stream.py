"""Live candles of all other exchanges, whose streams have no final flag.

A candle is closed when the next one opens. The first candle after each connection is left to a
REST read, because some exchanges build it from the trades since the connection. Series without a
stream are polled over REST.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Iterable, Iterator
from typing import Any

from typing_extensions import override

from market.domain.candle import Candle
from market.domain.feed import Closed, FeedError, FeedEvent, FeedRefused, Forming, Interrupted
from market.domain.series import SeriesId
from market.exchanges.ccxt_client import feed_errors, symbol_of
from market.exchanges.ccxt_history import History
from market.exchanges.rate_limit import YIELDS
from market.exchanges.rows import checked
from market.exchanges.streams import (
    UNSUBSCRIBE_TIMEOUT_S,
    EventQueue,
    LiveStream,
    StreamLimits,
    close_sockets,
    detach,
    unless_closed,
)
from market.stopping import stop

logger = logging.getLogger(__name__)

# Newest closed candles read by each poll: enough to see a late correction.
POLLED = 3
# A closed candle is polled for after this (seconds), then ever more slowly.
FIRST_POLL_S = 0.5
SLOWEST_POLL_S = 15.0


class NextOpens:
    """Finds the closed candles of one series by the opening of the next one."""

    def __init__(self, series: SeriesId) -> None:
        self._series = series
        self._forming: Candle | None = None
        # Whether the forming candle was seen from its beginning.
        self._is_whole = False

    def take(self, candles: Iterable[Candle]) -> Iterator[FeedEvent]:
        """The events for these states of candles (ascending)."""
        for candle in candles:
            before = self._forming
            if before is not None and candle.candle_time < before.candle_time:
                # A late correction.
                yield Closed(self._series, candle)
                continue
            if before is not None and candle.candle_time > before.candle_time:
                if self._is_whole:
                    yield Closed(self._series, before)
                self._is_whole = True
            self._forming = candle
            yield Forming(self._series, candle)


class PlainStream(LiveStream):
    """One task for each series; ccxt uses as few sockets as the exchange allows."""

    def __init__(
        self, exchange: Any, history: History, *, queue: EventQueue, limits: StreamLimits
    ) -> None:
        self._exchange = exchange
        self._history = history
        self._queue = queue
        self._limits = limits
        self._tasks: dict[SeriesId, asyncio.Task[None]] = {}
        self._wanted: frozenset[SeriesId] = frozenset()
        self._pinned: frozenset[SeriesId] = frozenset()
        self._wake = asyncio.Event()
        self._last_at = time.monotonic()

    @override
    def follow(self, series: frozenset[SeriesId], pinned: frozenset[SeriesId]) -> None:
        self._wanted, self._pinned = series, pinned
        self._wake.set()

    @override
    async def run(self) -> None:
        while True:
            self._wake.clear()
            for series in [one for one in self._tasks if one not in self._wanted]:
                await stop([self._tasks.pop(series)])
                if self._tasks:
                    await self._unwatch(series)
                else:
                    await self._close_sockets()
            new = self._wanted - self._tasks.keys()
            for series in sorted(new, key=lambda each: (each not in self._pinned, each)):
                self._tasks[series] = asyncio.create_task(self._follow_one(series))
            await self._wake.wait()

    @override
    async def close(self) -> None:
        await stop(self._tasks.values())
        await self._close_sockets()

    async def _follow_one(self, series: SeriesId) -> None:
        YIELDS.set(series not in self._pinned)
        while True:
            try:
                name = await self._load(series)
                if self._exchange.has.get("watchOHLCV"):
                    await self._stream(series, name)
                await self._poll(series)
            except FeedRefused as error:
                logger.warning("not followed: %s", error)
                return
            except Exception:
                logger.exception("%s: following failed", series)
                self._queue.put(Interrupted(series, "following failed"))
                await asyncio.sleep(self._limits.longest_retry)

    async def _load(self, series: SeriesId) -> str:
        failures = 0
        while True:
            try:
                return await self._history.load(series)
            except FeedRefused:
                raise
            except FeedError as error:
                failures += 1
                self._queue.put(Interrupted(series, str(error)))
                await asyncio.sleep(self._limits.retry_after(failures))

    async def _stream(self, series: SeriesId, name: str) -> None:
        """Stream until the exchange refuses to stream this series; then it is polled."""
        failures = 0
        while True:
            last_at = self._last_at
            try:
                await self._listen(series, name)
            except FeedRefused as error:
                logger.warning("%s is polled: %s", series, error)
                return
            except FeedError as error:
                failures = failures + 1 if self._last_at == last_at else 1
                self._queue.put(Interrupted(series, str(error)))
                self._history.distrust_clock()
                # ccxt's cache outlives the socket and would hide a hole.
                (self._exchange.ohlcvs.get(symbol_of(series)) or {}).pop(name, None)
                await asyncio.sleep(self._limits.retry_after(failures))

    async def _listen(self, series: SeriesId, name: str) -> None:
        """Queue what arrives; raises FeedError when the stream breaks or goes silent."""
        opens = NextOpens(series)
        patience = self._limits.patience_of(series.timeframe)
        while True:
            rows = await self._watch(series, name, patience)
            self._last_at = time.monotonic()
            for event in opens.take(rows):
                self._queue.put(event)

    async def _watch(self, series: SeriesId, name: str, patience: float) -> list[Candle]:
        with feed_errors(str(series)):
            try:
                async with asyncio.timeout(patience):
                    watched = self._exchange.watch_ohlcv(symbol_of(series), name)
                    rows = await unless_closed(watched)
                    # Copied at once: ccxt changes the rows later.
                    return checked(rows, series)
            except TimeoutError:
                if time.monotonic() - self._last_at > patience:
                    # All series are silent: new sockets.
                    await self._close_sockets()
                else:
                    await self._unwatch(series)
                raise

    async def _unwatch(self, series: SeriesId) -> None:
        if not self._exchange.has.get("unWatchOHLCV"):
            return
        with contextlib.suppress(FeedError), feed_errors("unsubscribe"):
            name = await self._history.load(series)
            async with asyncio.timeout(UNSUBSCRIBE_TIMEOUT_S):
                await unless_closed(self._exchange.un_watch_ohlcv(symbol_of(series), name))

    async def _close_sockets(self) -> None:
        self._exchange.ohlcvs.clear()
        await close_sockets(detach(self._exchange, list(self._exchange.clients.values())))

    async def _poll(self, series: SeriesId) -> None:
        """Poll over REST until cancelled; raises FeedRefused when there are no such candles."""
        failures = late = 0
        known: dict[int, Candle] = {}
        while True:
            try:
                recent = await self._history.recent(series, POLLED)
                for candle in recent.closed:
                    if known.get(candle.candle_time) != candle:
                        self._queue.put(Closed(series, candle))
                if recent.forming is not None:
                    self._queue.put(Forming(series, recent.forming))
                known = {one.candle_time: one for one in recent.closed[-POLLED:]} or known
                now = await self._history.now()
            except FeedRefused:
                raise
            except FeedError as error:
                failures += 1
                self._queue.put(Interrupted(series, str(error)))
                await asyncio.sleep(self._limits.retry_after(failures))
                continue
            failures = 0
            newest = max(known, default=0)
            late = late + 1 if newest < series.timeframe.latest_closed(now) else 0
            await asyncio.sleep(_poll_pause(series, now, late))


def _poll_pause(series: SeriesId, now: float, late: int) -> float:
    """Seconds until the next poll: for the next close, the forming candle, or a late one."""
    length = series.timeframe.seconds
    until_close = series.timeframe.open_of(now) + length - now + FIRST_POLL_S
    if late:
        return min(until_close, SLOWEST_POLL_S, FIRST_POLL_S * 2.0 ** min(late, 10))
    return min(until_close, max(2.0, min(60.0, length / 12)))
