"""Which symbols of an exchange trade most: tickers from ccxt, cached for the whole process.

ccxt's objects belong to the event loop that first used them, while requests come from many threads
and loops. So one thread with its own loop makes all requests to exchanges.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import logging
import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

from django.conf import settings

from market.domain.feed import FeedError
from market.domain.series import FUTURES
from market.exchanges.ccxt_client import feed_errors, open_exchange
from market.exchanges.price_step import UNKNOWN, PriceStep, price_step
from market.singletons import closed_by
from market.stopping import stop

T = TypeVar("T")

logger = logging.getLogger(__name__)

FETCH_TIMEOUT_S = 5.0
CLOSE_TIMEOUT_S = 2.0
# Markets and tickers one after the other, and some time for the loop.
ANSWER_TIMEOUT_S = 2 * FETCH_TIMEOUT_S + 2.0

# Exchange objects keep all markets in memory: tens of megabytes for the large ones.
MAX_VENUES = 8
# One that nobody asked for in this time is closed with the next question.
IDLE_S = 900.0


class TopMarketsUnavailable(Exception):
    """The exchange is unreachable and nothing is cached; `str()` gives the reason."""


class TopMarket(NamedTuple):
    """A symbol and its last 24 hours; volume in the quote asset."""

    symbol: str
    symbol_id: str
    base_asset: str
    quote_asset: str
    last_price: float | None
    quote_volume: float
    price_change_percent: float | None
    step: PriceStep = UNKNOWN


class Ranking(NamedTuple):
    """Symbols by descending volume; `cached` when nothing was fetched for this answer."""

    items: list[TopMarket]
    cached: bool


@dataclass(slots=True)
class Venue:
    """One market of an exchange: its ccxt object, what was fetched last, and when."""

    name: str
    market: str
    exchange: Any
    asked_at: float = -math.inf
    listings: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    listed_at: float = -math.inf
    tickers: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    ticked_at: float = -math.inf
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    ranked: dict[str, tuple[float, list[TopMarket]]] = field(default_factory=dict)


class TopMarketsSource:
    """Rankings of many exchanges. Its coroutines run on one event loop."""

    def __init__(
        self,
        open_exchange: Callable[[str, str], Any],
        *,
        listing_ttl_s: float,
        ticker_ttl_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._open = open_exchange
        self._listing_ttl_s = listing_ttl_s
        self._ticker_ttl_s = ticker_ttl_s
        self._clock = clock
        self._venues: OrderedDict[tuple[str, str], Venue] = OrderedDict()

    async def ranking(self, exchange: str, market: str, *, quote: str, force: bool) -> Ranking:
        """Every symbol of `market` that trades against `quote`.

        Raises FeedRefused for an unknown exchange, and TopMarketsUnavailable.
        """
        venue = await self._venue(exchange, market)
        # One fetch at a time: callers that waited for it use its cached result.
        async with venue.lock:
            fetched = await self._refresh(venue, force=force)
        return Ranking(_ranked(venue, quote), cached=not fetched and not force)

    def volumes(self, exchange: str, market: str) -> dict[str, float]:
        """Volumes of the newest tickers by ccxt's symbol, from any thread; requests nothing."""
        venue = self._venues.get((exchange, market))
        tickers = venue.tickers if venue else {}
        volumes = {symbol: _number(each.get("quoteVolume")) for symbol, each in tickers.items()}
        return {symbol: volume for symbol, volume in volumes.items() if volume is not None}

    async def close(self) -> None:
        """Close the connections to all exchanges."""
        venues, self._venues = self._venues, OrderedDict()
        for venue in venues.values():
            await _close(venue)

    async def _venue(self, exchange: str, market: str) -> Venue:
        key = (exchange, market)
        if key not in self._venues:
            self._venues[key] = Venue(exchange, market, self._open(exchange, market))
        venue, now = self._venues[key], self._clock()
        venue.asked_at = now
        self._venues.move_to_end(key)
        unwanted = [each for each in self._venues if now - self._venues[each].asked_at > IDLE_S]
        unwanted = unwanted or list(self._venues)[:-MAX_VENUES]
        for dropped in [self._venues.pop(each) for each in unwanted]:
            await _close(dropped)
        return venue

    async def _refresh(self, venue: Venue, *, force: bool) -> bool:
        """Fetch what is too old; return whether anything was fetched."""
        now = self._clock()
        listed = force or now - venue.listed_at >= self._listing_ttl_s
        ticked = force or now - venue.ticked_at >= self._ticker_ttl_s
        if listed:
            await self._fetch(venue, "listings")
        if ticked:
            await self._fetch(venue, "tickers")
        return listed or ticked

    async def _fetch(self, venue: Venue, part: str) -> None:
        try:
            with feed_errors(f"{venue.name} {venue.market}"):
                async with asyncio.timeout(FETCH_TIMEOUT_S):
                    await (self._list(venue) if part == "listings" else self._tick(venue))
        except FeedError as error:
            if not getattr(venue, part):
                raise TopMarketsUnavailable(str(error)) from error
            logger.warning("old %s of %s %s are kept: %s", part, venue.name, venue.market, error)

    async def _list(self, venue: Venue) -> None:
        found = await venue.exchange.load_markets(True)
        venue.listings = {s: one for s, one in found.items() if _is_traded(one, venue.market)}
        venue.listed_at = self._clock()

    async def _tick(self, venue: Venue) -> None:
        venue.tickers = dict(await venue.exchange.fetch_tickers())
        venue.ticked_at = self._clock()


async def _close(venue: Venue) -> None:
    with contextlib.suppress(Exception):
        async with asyncio.timeout(CLOSE_TIMEOUT_S):
            await venue.exchange.close()


def _is_traded(listing: Mapping[str, Any], market: str) -> bool:
    """Whether it is open for trading; of futures only linear perpetuals count."""
    if listing.get("active") is False:
        return False
    if market != FUTURES:
        return bool(listing.get("spot"))
    return bool(listing.get("swap")) and listing.get("linear") is not False


def _ranked(venue: Venue, quote: str) -> list[TopMarket]:
    """The ranking against `quote`, computed once for each set of tickers."""
    known = venue.ranked.get(quote)
    if known and known[0] == venue.ticked_at:
        return known[1]
    if len(venue.ranked) >= MAX_VENUES:
        venue.ranked.clear()
    found = [
        _top_market(listing, venue.tickers[symbol], venue.exchange.precisionMode)
        for symbol, listing in venue.listings.items()
        if listing.get("quote") == quote and symbol in venue.tickers
    ]
    traded = [one for one in found if one is not None]
    traded.sort(key=lambda one: -one.quote_volume)
    venue.ranked[quote] = (venue.ticked_at, traded)
    return traded


def _top_market(
    listing: Mapping[str, Any], ticker: Mapping[str, Any], mode: int
) -> TopMarket | None:
    volume = _number(ticker.get("quoteVolume"))
    if volume is None:
        return None
    base, quote = str(listing["base"]), str(listing["quote"])
    return TopMarket(
        # Without the settle asset that ccxt appends to perpetuals (BTC/USDT:USDT).
        f"{base}/{quote}",
        str(listing["id"]),
        base,
        quote,
        _number(ticker.get("last")),
        volume,
        _number(ticker.get("percentage")),
        price_step(mode, (listing.get("precision") or {}).get("price")),
    )


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) else None


class ExchangeLoop:
    """A daemon thread whose event loop makes the requests to exchanges."""

    def __init__(self, source: TopMarketsSource) -> None:
        self._source = source
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="exchange-loop", daemon=True
        )
        self._thread.start()

    def ranking(self, exchange: str, market: str, *, quote: str, force: bool) -> Future[Ranking]:
        """Run TopMarketsSource.ranking on the loop."""
        return self.run(
            self._source.ranking(exchange, market, quote=quote, force=force), ANSWER_TIMEOUT_S
        )

    def volumes(self, exchange: str, market: str) -> dict[str, float]:
        """TopMarketsSource.volumes."""
        return self._source.volumes(exchange, market)

    def close(self) -> None:
        """Cancel what runs, close connections and stop the thread; later calls do nothing."""
        if self._loop.is_closed():
            return
        with contextlib.suppress(Exception):
            asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(2 * CLOSE_TIMEOUT_S)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(CLOSE_TIMEOUT_S)
        if not self._thread.is_alive():
            self._loop.close()

    async def _end(self) -> None:
        await self._source.close()
        await stop(asyncio.all_tasks() - {asyncio.current_task()})

    def run(self, work: Coroutine[Any, Any, T], timeout: float) -> Future[T]:
        """Run any work with exchanges on the loop, `timeout` seconds at most."""
        return asyncio.run_coroutine_threadsafe(asyncio.wait_for(work, timeout), self._loop)


@closed_by(ExchangeLoop.close)
def exchange_loop() -> ExchangeLoop:
    """The one of this process, created at first use (after any fork) and closed at exit."""
    switches = settings.SWITCHES
    made = ExchangeLoop(
        TopMarketsSource(
            open_exchange,
            listing_ttl_s=switches.binance_exchangeinfo_ttl_s,
            ticker_ttl_s=switches.binance_ticker_ttl_s,
        )
    )
    atexit.register(made.close)
    return made
