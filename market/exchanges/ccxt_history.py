"""Candles over REST: history page by page, the newest few, and the exchange's clock."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Iterable
from typing import Any, NamedTuple

from market.domain.candle import Candle, CandleError, check_candle, in_time_order, is_closed
from market.domain.feed import FeedError
from market.domain.series import SeriesId
from market.domain.timeframe import Timeframe
from market.exchanges.ccxt_client import (
    FUTURES,
    feed_errors,
    listing_of,
    symbol_of,
    timeframe_of,
)

logger = logging.getLogger(__name__)

# What an exchange takes when ccxt doesn't say: nearly all give this many.
PAGE = 200

# A candle counts as over this long after its end: the exchange needs a moment to settle it, and
# our own clock, where the exchange does not tell its time, may be ahead.
GRACE_S = 0.3
OWN_CLOCK_GRACE_S = 2.0

_CLOCK_KEPT_S = 300.0
_CLOCK_RETRY_S = 30.0
_MARKETS_KEPT_S = 3_600.0


class Recent(NamedTuple):
    """The newest candles of a series: those that are over, and the open one if there is one."""

    closed: list[Candle]
    forming: Candle | None


class ExchangeClock:
    """What time it is at the exchange, asked now and then and carried on by our own clock.

    By the monotonic one, so that a step of our wall clock can't make an open candle seem over. Of
    an exchange that does not tell its time, our wall clock is all there is.
    """

    def __init__(self, exchange: Any) -> None:
        self._exchange = exchange
        # The exchange's time less our monotonic clock.
        self._ahead_s: float | None = None
        self._ask_again = 0.0
        self._asking = asyncio.Lock()

    async def now(self) -> float:
        """Unix seconds, less the grace a closed candle is given."""
        async with self._asking:
            if time.monotonic() >= self._ask_again:
                await self._ask()
        if self._ahead_s is None:
            return time.time() - OWN_CLOCK_GRACE_S
        return time.monotonic() + self._ahead_s

    def distrust(self) -> None:
        """Ask again before the next answer."""
        self._ask_again = 0.0

    async def _ask(self) -> None:
        kept_s = _CLOCK_KEPT_S
        if self._exchange.has.get("fetchTime"):
            try:
                with feed_errors("fetch_time"):
                    told_s = float(await self._exchange.fetch_time()) / 1000
                # Taken as told just now, though it was a little earlier: late is the safe side.
                self._ahead_s = told_s - time.monotonic() - GRACE_S
            except FeedError as error:
                logger.info("%s does not tell its time: %s", self._exchange.id, error)
                kept_s = _CLOCK_RETRY_S
        self._ask_again = time.monotonic() + kept_s


class History:
    """REST reads of one exchange object. Everything raises FeedError and its kinds."""

    def __init__(self, exchange: Any) -> None:
        self._exchange = exchange
        self._clock = ExchangeClock(exchange)
        self._loading = asyncio.Lock()
        self._loaded_at = 0.0

    async def now(self) -> float:
        """The exchange's clock, Unix seconds."""
        return await self._clock.now()

    def distrust_clock(self) -> None:
        """Ask the exchange for its time again: after a disturbance much may have changed."""
        self._clock.distrust()

    async def load(self, series: SeriesId) -> str:
        """Load the exchange's lists when needed; the series' timeframe in ccxt's words.

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
        return timeframe_of(self._exchange, series)

    async def pages(self, series: SeriesId, start: int, end: int) -> AsyncIterator[list[Candle]]:
        """Closed candles with ``start <= candle_time <= end``, ascending, page by page."""
        name = await self.load(series)
        timeframe = series.timeframe
        end = min(end, timeframe.latest_closed(await self.now()))
        size = page_size(self._exchange, series.market)
        cursor = _first_open(timeframe, start)
        while cursor <= end:
            # One more than is wanted: some exchanges leave out the candle at `since`, and the
            # last row may be an open one.
            limit = min(size, (end - cursor) // timeframe.seconds + 2)
            rows = await self._rows(series, name, cursor, limit)
            page = [candle for candle in rows if cursor <= candle.candle_time <= end]
            if page:
                yield page
            cursor = _next_cursor(rows, cursor, limit * timeframe.seconds, timeframe)

    async def recent(self, series: SeriesId, count: int) -> Recent:
        """The newest `count` candles and the open one."""
        name = await self.load(series)
        now = await self.now()
        since = series.timeframe.latest_closed(now) - (count - 1) * series.timeframe.seconds
        rows = await self._rows(series, name, max(0, since), count + 2)
        closed = [row for row in rows if is_closed(row.candle_time, series.timeframe, now)]
        still_open = [row for row in rows if not is_closed(row.candle_time, series.timeframe, now)]
        return Recent(closed, still_open[0] if still_open else None)

    async def _rows(self, series: SeriesId, name: str, since: int, limit: int) -> list[Candle]:
        with feed_errors(str(series)):
            rows = await self._exchange.fetch_ohlcv(symbol_of(series), name, since * 1000, limit)
            return checked(rows, series)


def page_size(exchange: Any, market: str) -> int:
    """How many candles a page holds, as ccxt knows it."""
    features = exchange.features or {}
    part = features.get("spot") or {}
    if market == FUTURES:
        part = (features.get("swap") or {}).get("linear") or {}
    stated = (part.get("fetchOHLCV") or {}).get("limit")
    return int(stated) if stated else PAGE


def checked(rows: Iterable[Any], series: SeriesId) -> list[Candle]:
    """ccxt's rows as candles, ascending, each time once; impossible ones dropped and logged."""
    candles = []
    for row in rows:
        try:
            candles.append(candle_of(row, series.timeframe))
        except (CandleError, TypeError, ValueError, IndexError, OverflowError) as error:
            logger.warning("%s: a row of the exchange is no candle: %s %r", series, error, row)
    return in_time_order(candles)


def candle_of(row: Any, timeframe: Timeframe) -> Candle:
    """One row ``[milliseconds, open, high, low, close, volume]``, copied and checked."""
    opened, first, high, low, last, volume = row[:6]
    if int(opened) % 1000:
        raise CandleError("candle_time", "not on a whole second")
    candle = Candle(
        candle_time=int(opened) // 1000,
        open=float(first),
        high=float(high),
        low=float(low),
        close=float(last),
        # Some exchanges have no volume for an index or for a quiet candle.
        volume=float(volume or 0.0),
    )
    check_candle(candle, timeframe)
    return candle


def _first_open(timeframe: Timeframe, start: int) -> int:
    opened = timeframe.open_of(max(0, start))
    return opened if opened >= max(0, start) else opened + timeframe.seconds


def _next_cursor(rows: list[Candle], cursor: int, window: int, timeframe: Timeframe) -> int:
    """Behind the last row; over the whole window when there was none, which need not be the end."""
    newest = rows[-1].candle_time if rows else -1
    return newest + timeframe.seconds if newest >= cursor else cursor + window
