"""Candles over REST: history page by page, the newest few, and the exchange's clock."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

from market.domain.candle import Candle, is_closed
from market.domain.feed import FeedError, HistoryPage
from market.domain.series import FUTURES, SeriesId
from market.exchanges.ccxt_client import (
    feed_errors,
    listing_of,
    symbol_of,
)
from market.exchanges.grids import timeframe_of
from market.exchanges.history_read import HistoryRead, Learned

logger = logging.getLogger(__name__)

# The page size when ccxt does not know it: nearly all exchanges return this many.
PAGE = 200

# A candle counts as closed this long after its end: the exchange needs a moment to settle it, and
# our own clock, used where the exchange has no time endpoint, may be ahead.
GRACE_S = 0.3
OWN_CLOCK_GRACE_S = 2.0

_CLOCK_KEPT_S = 300.0
_CLOCK_RETRY_S = 30.0
_MARKETS_KEPT_S = 3_600.0


class Recent(NamedTuple):
    """The newest candles of a series: the closed ones, and the forming one if there is one."""

    closed: list[Candle]
    forming: Candle | None


class ExchangeClock:
    """The exchange's time, requested now and then and advanced by our monotonic clock.

    A step of our wall clock then can't make a forming candle seem closed. For an exchange without
    a time endpoint our wall clock has to do.
    """

    def __init__(self, exchange: Any) -> None:
        self._exchange = exchange
        # The exchange's time less our monotonic clock.
        self._ahead_s: float | None = None
        self._ask_again = 0.0
        self._asking = asyncio.Lock()

    async def now(self) -> float:
        """Unix seconds, minus the grace before a candle counts as closed."""
        async with self._asking:
            if time.monotonic() >= self._ask_again:
                await self._ask()
        if self._ahead_s is None:
            return time.time() - OWN_CLOCK_GRACE_S
        return time.monotonic() + self._ahead_s

    def distrust(self) -> None:
        """Request the time again before the next use."""
        self._ask_again = 0.0

    async def _ask(self) -> None:
        kept_s = _CLOCK_KEPT_S
        if self._exchange.has.get("fetchTime"):
            try:
                with feed_errors("fetch_time"):
                    server_s = float(await self._exchange.fetch_time()) / 1000
                # Taken as of now although it is a little older: late is the safe side.
                self._ahead_s = server_s - time.monotonic() - GRACE_S
            except FeedError as error:
                logger.info("%s: its time can't be read: %s", self._exchange.id, error)
                kept_s = _CLOCK_RETRY_S
        self._ask_again = time.monotonic() + kept_s


class History:
    """REST reads of one exchange object. Everything raises FeedError and its kinds."""

    def __init__(self, exchange: Any) -> None:
        self._exchange = exchange
        self._clock = ExchangeClock(exchange)
        self._loading = asyncio.Lock()
        self._loaded_at = 0.0
        self._learned = Learned()

    async def now(self) -> float:
        """The exchange's clock, Unix seconds."""
        return await self._clock.now()

    def distrust_clock(self) -> None:
        """Request the exchange's time again, as after a disturbance."""
        self._clock.distrust()

    def is_halted(self, series: SeriesId) -> bool:
        """Whether the exchange lists the market as inactive, as far as it was loaded."""
        listed = (self._exchange.markets or {}).get(symbol_of(series)) or {}
        return listed.get("active") is False

    async def load(self, series: SeriesId) -> str:
        """Load the exchange's markets when needed; return ccxt's name of the series' timeframe.

        Raises FeedRefused when the exchange has no such series.
        """
        async with self._loading:
            unknown = symbol_of(series) not in (self._exchange.markets or {})
            if unknown and (
                not self._loaded_at or time.monotonic() - self._loaded_at > _MARKETS_KEPT_S
            ):
                with feed_errors("load_markets"):
                    await self._exchange.load_markets(bool(self._loaded_at))
                self._loaded_at = time.monotonic()
        listing_of(self._exchange, series)
        return await timeframe_of(self._exchange, series)

    async def pages(self, series: SeriesId, start: int, end: int) -> AsyncIterator[HistoryPage]:
        """Closed candles with ``start <= candle_time <= end``, ascending, answer by answer."""
        read = await self._read(series, await self.now())
        async for page in read.pages(start, end):
            yield page

    async def recent(self, series: SeriesId, count: int) -> Recent:
        """The newest `count` closed candles and the forming one."""
        now = await self.now()
        rows = await (await self._read(series, now)).newest(count)
        closed = [row for row in rows if is_closed(row.candle_time, series.timeframe, now)]
        forming = [row for row in rows if not is_closed(row.candle_time, series.timeframe, now)]
        return Recent(closed, forming[0] if forming else None)

    async def _read(self, series: SeriesId, now: float) -> HistoryRead:
        return HistoryRead(
            self._exchange,
            series,
            await self.load(series),
            closed=series.timeframe.latest_closed(now),
            size=page_size(self._exchange, series.market),
            learned=self._learned,
        )


def page_size(exchange: Any, market: str) -> int:
    """How many candles a page holds, according to ccxt."""
    features = exchange.features or {}
    part = features.get("spot") or {}
    if market == FUTURES:
        part = (features.get("swap") or {}).get("linear") or {}
    stated = (part.get("fetchOHLCV") or {}).get("limit")
    return int(stated) if stated else PAGE
