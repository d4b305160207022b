"""Live candles of any other exchange, whose streams do not say when a candle is closed.

A candle is closed when the next one opens. The first one after each connection is left to a REST
read, because some exchanges build it from the trades since we came. Where there is no stream at
all, REST is polled.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Iterable, Iterator
from typing import Any

from market.domain.candle import Candle
from market.domain.feed import Closed, FeedError, FeedEvent, FeedRefused, Forming, Interrupted
from market.domain.series import SeriesId
from market.exchanges.ccxt_client import feed_errors, symbol_of
from market.exchanges.ccxt_history import History, checked
from market.exchanges.outlet import Outlet
from market.exchanges.polling import poll
from market.exchanges.sockets import hang_up, retire, unless_hung_up
from market.exchanges.stream_limits import StreamLimits
from market.stopping import stop

logger = logging.getLogger(__name__)

_UNSUBSCRIBE_S = 5.0


class NextOpens:
    """Tells open candles of one series from closed ones by the opening of the next."""

    def __init__(self, series: SeriesId) -> None:
        self._series = series
        self._open: Candle | None = None
        # Whether the open candle was seen from its beginning.
        self._whole = False

    def take(self, candles: Iterable[Candle]) -> Iterator[FeedEvent]:
        """The events that these states of candles, ascending, stand for."""
        for candle in candles:
            before = self._open
            if before is not None and candle.candle_time < before.candle_time:
                # An afterthought of the exchange.
                yield Closed(self._series, candle)
                continue
            if before is not None and candle.candle_time > before.candle_time:
                if self._whole:
                    yield Closed(self._series, before)
                self._whole = True
            self._open = candle
            yield Forming(self._series, candle)


class PlainStream:
    """One task a series; ccxt puts them on as few sockets as the exchange allows."""

    def __init__(
        self, exchange: Any, history: History, *, outlet: Outlet, limits: StreamLimits
    ) -> None:
        self._exchange = exchange
        self._history = history
        self._outlet = outlet
        self._limits = limits
        self._tasks: dict[SeriesId, asyncio.Task[None]] = {}
        self._wanted: frozenset[SeriesId] = frozenset()
        self._wake = asyncio.Event()
        self._heard_at = time.monotonic()

    def follow(self, series: frozenset[SeriesId]) -> None:
        """Change what is wanted."""
        self._wanted = series
        self._wake.set()

    async def run(self) -> None:
        """Keep a task for every wanted series until cancelled."""
        while True:
            self._wake.clear()
            for series in [one for one in self._tasks if one not in self._wanted]:
                await self._leave(series)
            for series in sorted(self._wanted - self._tasks.keys()):
                self._tasks[series] = asyncio.create_task(self._follow_one(series))
            await self._wake.wait()

    async def close(self) -> None:
        """End all tasks and hang up."""
        await stop(self._tasks.values())
        await self._hang_up()

    async def _leave(self, series: SeriesId) -> None:
        await stop([self._tasks.pop(series)])
        if not self._tasks:
            await self._hang_up()
        else:
            await self._unwatch(series)

    async def _follow_one(self, series: SeriesId) -> None:
        while True:
            try:
                name = await self._load(series)
                if self._exchange.has.get("watchOHLCV"):
                    await self._stream(series, name)
                await poll(series, self._history, outlet=self._outlet, limits=self._limits)
            except FeedRefused as error:
                logger.warning("not followed: %s", error)
                return
            except Exception:
                logger.exception("%s: following failed", series)
                self._outlet.put(Interrupted(series, "following failed"))
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
                self._outlet.put(Interrupted(series, str(error)))
                await asyncio.sleep(self._limits.retry_after(failures))

    async def _stream(self, series: SeriesId, name: str) -> None:
        """Stream until the exchange says that it does not stream this; then it is polled."""
        failures = 0
        while True:
            heard = self._heard_at
            try:
                await self._listen(series, name)
            except FeedRefused as error:
                logger.warning("%s is polled: %s", series, error)
                return
            except FeedError as error:
                failures = failures + 1 if self._heard_at == heard else 1
                self._outlet.put(Interrupted(series, str(error)))
                self._history.distrust_clock()
                # The cache outlives the socket and would hide the hole.
                (self._exchange.ohlcvs.get(symbol_of(series)) or {}).pop(name, None)
                await asyncio.sleep(self._limits.retry_after(failures))

    async def _listen(self, series: SeriesId, name: str) -> None:
        """Hand on what comes; raises FeedError when the stream breaks or falls silent."""
        opens = NextOpens(series)
        patience = self._limits.patience_of(series.timeframe)
        while True:
            rows = await self._watch(series, name, patience)
            self._heard_at = time.monotonic()
            for event in opens.take(rows):
                self._outlet.put(event)

    async def _watch(self, series: SeriesId, name: str, patience: float) -> list[Candle]:
        with feed_errors(str(series)):
            try:
                async with asyncio.timeout(patience):
                    # The rows change under our hands later: copied at once.
                    asked = self._exchange.watch_ohlcv(symbol_of(series), name)
                    rows = await unless_hung_up(asked)
                    return checked(rows, series)
            except TimeoutError:
                await self._unstick(series, patience)
                raise

    async def _unstick(self, series: SeriesId, patience: float) -> None:
        """Everything silent: new sockets. Only this series: a new subscription."""
        if time.monotonic() - self._heard_at > patience:
            await self._hang_up()
        else:
            await self._unwatch(series)

    async def _unwatch(self, series: SeriesId) -> None:
        if not self._exchange.has.get("unWatchOHLCV"):
            return
        with contextlib.suppress(FeedError), feed_errors("unsubscribe"):
            name = await self._history.load(series)
            async with asyncio.timeout(_UNSUBSCRIBE_S):
                asked = self._exchange.un_watch_ohlcv(symbol_of(series), name)
                await unless_hung_up(asked)

    async def _hang_up(self) -> None:
        self._exchange.ohlcvs.clear()
        await hang_up(retire(self._exchange, list(self._exchange.clients.values())))
