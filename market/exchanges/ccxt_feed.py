"""The feed of one market of any exchange that ccxt knows."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any

from typing_extensions import override

from market.domain.feed import Feed, FeedEvent, HistoryPage, HistorySource, Source
from market.domain.series import SeriesId
from market.exchanges.binance_stream import BinanceStream
from market.exchanges.ccxt_client import (
    is_binance,
    known_exchanges,
    open_exchange,
)
from market.exchanges.ccxt_history import History, page_size
from market.exchanges.ccxt_trades import TradeHistory
from market.exchanges.plain_stream import PlainStream
from market.exchanges.streams import EventQueue, LiveStream, StreamLimits
from market.stopping import stop

__all__ = ["CcxtFeed", "known_exchanges", "open_exchange", "open_feed"]

logger = logging.getLogger(__name__)


class CcxtFeed(Feed):
    """A feed over one ccxt object."""

    def __init__(
        self, exchange: str, market: str, *, client: Any, limits: StreamLimits | None = None
    ) -> None:
        self.exchange = exchange
        self.market = market
        self._client = client
        self._history = History(client)
        self._queue = EventQueue()
        stream = BinanceStream if is_binance(exchange) else PlainStream
        self._stream: LiveStream = stream(
            client, self._history, queue=self._queue, limits=limits or StreamLimits()
        )
        self._running: asyncio.Task[None] | None = None

    @override
    async def now(self) -> float:
        return await self._history.now()

    @override
    def page_candles(self, series: SeriesId) -> int:
        return page_size(self._client, series.market)

    @override
    def history(self, series: SeriesId, start: int, end: int) -> AsyncIterator[HistoryPage]:
        return self._history.pages(series, start, end)

    def trade_history(self) -> HistorySource:
        """History made of trades; refused where they can't be read from a given time on."""
        return TradeHistory(self._client, self._history)

    @override
    async def follow(
        self, series: frozenset[SeriesId], *, pinned: frozenset[SeriesId] = frozenset()
    ) -> None:
        self._stream.follow(series, pinned)
        if self._running is None:
            self._running = asyncio.create_task(self._run())

    @override
    def events(self) -> AsyncIterator[FeedEvent]:
        return self._queue.events()

    @override
    def is_halted(self, series: SeriesId) -> bool:
        return self._history.is_halted(series)

    @override
    def source(self, series: SeriesId) -> Source | None:
        return self._stream.source(series)

    @override
    async def close(self) -> None:
        if self._running is not None:
            await stop([self._running])
        await self._stream.close()
        await self._client.close()
        self._queue.close()

    async def _run(self) -> None:
        while True:
            try:
                await self._stream.run()
            except Exception:
                logger.exception("%s %s: the stream failed", self.exchange, self.market)
                await asyncio.sleep(1.0)


def open_feed(exchange: str, market: str, *, limits: StreamLimits | None = None) -> CcxtFeed:
    """The feed of ``spot`` or ``futures`` of an exchange; close() it after use.

    Raises FeedRefused when either is not known. Nothing is sent before it is used.
    """
    return CcxtFeed(exchange, market, client=open_exchange(exchange, market), limits=limits)
