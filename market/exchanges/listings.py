"""What exchanges list: every symbol and timeframe of a market, read once for all callers.

A listing is whole, so a symbol that is not in it costs the exchange nothing. It is read on the
process's exchange loop, in the background: a caller waits only for a few seconds, or not at all.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import sys
import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Any, NamedTuple

from django.conf import settings

from market.domain.feed import FeedError, FeedRefused
from market.domain.series import FUTURES, SeriesId
from market.domain.timeframe import Timeframe, followable_named
from market.exchanges.ccxt_client import (
    check_known,
    feed_errors,
    no_symbol,
    open_exchange,
    symbol_of,
)
from market.exchanges.grids import GridUnknown, grids, timeframe_of
from market.exchanges.price_step import PriceStep, price_step
from market.exchanges.top_markets import exchange_loop
from market.singletons import once

logger = logging.getLogger(__name__)

READ_TIMEOUT_S = 30.0
# How long a caller waits for a listing that is being read.
ANSWER_TIMEOUT_S = 5.0
CLOSE_TIMEOUT_S = 2.0
# A listing that could not be read is not asked for again before this time.
RETRY_S = 10.0
# A symbol that an older listing lacks may be new: the listing is read again.
RECHECK_S = 300.0
MAX_LISTINGS = 64
# A refresh of many listings reads so many at a time: each takes tens of megabytes meanwhile.
READS_AT_ONCE = 4
REFRESH_TIMEOUT_S = 600.0

Venue = tuple[str, str]
"""An exchange and a market of it."""


class ListedSymbol(NamedTuple):
    """A symbol of a listing, in ccxt's spelling. Inactive ones are delisted or suspended."""

    symbol: str
    base: str
    quote: str
    is_active: bool
    step: PriceStep


class Listing(NamedTuple):
    """The symbols of one market of an exchange, and its timeframes, the shortest first."""

    symbols: Mapping[str, ListedSymbol]
    timeframes: tuple[str, ...]

    def is_lacking(self, series: SeriesId) -> bool:
        """Whether the listing has no such symbol, or no timeframe of that length."""
        lengths = {Timeframe.parse(each).seconds for each in self.timeframes}
        return symbol_of(series) not in self.symbols or series.timeframe.seconds not in lengths

    def refusal(self, series: SeriesId) -> FeedRefused | None:
        """Why the exchange has no such series; None when it has it.

        Raises GridUnknown when the grid of its timeframe has to be learned to decide.
        """
        if symbol_of(series) not in self.symbols:
            return no_symbol(series)
        try:
            grids().name_of(series, self.timeframes)
        except FeedRefused as refused:
            return refused
        return None


class ListingState(StrEnum):
    """How far the listing of a market can be relied on."""

    CURRENT = "current"
    STALE = "stale"
    """An old one, while no newer one could be read."""
    READING = "reading"
    """Not read yet."""
    UNAVAILABLE = "unavailable"
    """It could not be read, and there is no old one."""
    NOT_SEARCHED = "not_searched"
    """Too many others are kept: it is read for a search of its exchange alone."""


class KnownListing(NamedTuple):
    """What is known of the listing of a market; `read_at` is its time in Unix seconds."""

    exchange: str
    market: str
    state: ListingState
    listing: Listing | None
    read_at: int | None


@dataclass(slots=True)
class _Known:
    """The listing of one market, and when it was read or could not be read (monotonic)."""

    listing: Listing | None = None
    read_at: float = -math.inf
    read_time: int | None = None
    failed_at: float = -math.inf
    error: str = ""
    reading: asyncio.Task[None] | None = None


class Listings:
    """The listings of many markets. Its coroutines run on one event loop."""

    def __init__(
        self,
        open_exchange: Callable[[str, str], Any],
        *,
        ttl_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._open = open_exchange
        self._ttl_s = ttl_s
        self._clock = clock
        self._known: OrderedDict[Venue, _Known] = OrderedDict()
        self._refreshing = False
        # Reads of the candles of a venue by which the grid of one length is learned.
        # The latest of each, with its time (monotonic).
        self._learning: dict[tuple[str, str, int], tuple[asyncio.Task[None], float]] = {}

    def refusal(self, series: SeriesId) -> FeedRefused | None:
        """Answer from memory, from any thread, as `check` does.

        Raises LookupError when the listing, or a grid, has to be read first.
        """
        known = self._known.get((series.exchange, series.market))
        if known is None or known.listing is None or self._is_due(known, series):
            raise LookupError
        return known.listing.refusal(series)

    async def check(self, series: SeriesId) -> None:
        """Return when the exchange lists the series.

        Raises FeedRefused when it does not, and another FeedError when its listing can't be read
        now. An outdated listing is used while no newer one can be read.
        """
        venue = (series.exchange, series.market)
        known = self._entry(venue)
        if self._is_due(known, series):
            await asyncio.wait([self._begin(known, venue)], timeout=ANSWER_TIMEOUT_S)
        if known.listing is None:
            reason = known.error or "its listing is still being read"
            raise FeedError(f"{series.exchange} {series.market}: {reason}")
        if (refusal := await self._refusal(known.listing, series)) is not None:
            raise refusal

    async def _refusal(self, listing: Listing, series: SeriesId) -> FeedRefused | None:
        """Why a listing has no such series, after its grid was learned if need be."""
        with contextlib.suppress(GridUnknown):
            return listing.refusal(series)
        asked = (series.exchange, series.market, series.timeframe.seconds)
        now = self._clock()
        learning, begun_at = self._learning.get(asked, (None, -math.inf))
        if learning is None or (learning.done() and now - begun_at >= RETRY_S):
            learning = asyncio.create_task(self._learn(series))
            self._learning[asked] = (learning, now)
        done, _ = await asyncio.wait([learning], timeout=ANSWER_TIMEOUT_S)
        if not done:
            raise FeedError(f"{series.exchange} {series.market}: its candles are still being read")
        learning.result()
        return listing.refusal(series)

    async def _learn(self, series: SeriesId) -> None:
        """Learn the grid of a series' timeframe; raises FeedError."""
        client = self._open(series.exchange, series.market)
        try:
            with feed_errors(f"candles of {series.exchange}"):
                async with asyncio.timeout(READ_TIMEOUT_S):
                    await client.load_markets()
                    with contextlib.suppress(FeedRefused):
                        await timeframe_of(client, series)
        finally:
            await _close(client)

    def known(self, venue: Venue) -> KnownListing:
        """What is in memory, from any thread."""
        known = self._known.get(venue) or _Known()
        is_old = known.error or self._clock() - known.read_at >= self._ttl_s
        if known.listing is not None:
            state = ListingState.STALE if is_old else ListingState.CURRENT
        else:
            state = ListingState.UNAVAILABLE if known.error else ListingState.READING
        return KnownListing(*venue, state, known.listing, known.read_time)

    def exchanges(self) -> list[str]:
        """Exchanges of which a listing is in memory, from any thread."""
        return sorted({exchange for exchange, _ in tuple(self._known)})

    def is_due(self, venue: Venue) -> bool:
        """Whether a refresh would read the listing, from any thread."""
        known = self._known.get(venue)
        return known is None or self._is_due(known)

    async def refresh(self, venues: Collection[Venue]) -> None:
        """Read the listings that are missing or outdated; at once while another refresh runs."""
        if self._refreshing:
            return
        self._refreshing = True
        places = asyncio.Semaphore(READS_AT_ONCE)

        async def read(venue: Venue) -> None:
            async with places:
                known = self._entry(venue)
                if self._is_due(known):
                    await asyncio.wait([self._begin(known, venue)])

        try:
            await asyncio.gather(*map(read, venues))
        finally:
            self._refreshing = False

    def _entry(self, venue: Venue) -> _Known:
        """The entry of a venue, kept in place of the one used longest ago."""
        known = self._known.setdefault(venue, _Known())
        self._known.move_to_end(venue)
        while len(self._known) > MAX_LISTINGS:
            self._known.popitem(last=False)
        return known

    def _begin(self, known: _Known, venue: Venue) -> asyncio.Task[None]:
        """The task that reads a listing, started unless it runs."""
        if known.reading is None or known.reading.done():
            known.reading = asyncio.create_task(self._read(known, *venue))
        return known.reading

    def _is_due(self, known: _Known, series: SeriesId | None = None) -> bool:
        """Whether the listing must be read, for `series` if given, and may be by now."""
        now = self._clock()
        if now - known.failed_at < RETRY_S:
            return False
        if known.listing is None or now - known.read_at >= self._ttl_s:
            return True
        is_lacking = series is not None and known.listing.is_lacking(series)
        return is_lacking and now - known.read_at >= RECHECK_S

    async def _read(self, known: _Known, exchange: str, market: str) -> None:
        try:
            with feed_errors(f"markets of {exchange}"):
                async with asyncio.timeout(READ_TIMEOUT_S):
                    known.listing = await self._listing(exchange, market)
        except FeedError as error:
            logger.warning("the listing of %s %s can't be read: %s", exchange, market, error)
            known.failed_at, known.error = self._clock(), str(error)
        except Exception:
            logger.exception("the listing of %s %s can't be read", exchange, market)
            known.failed_at, known.error = self._clock(), "its listing can't be read"
        else:
            known.read_at, known.error = self._clock(), ""
            known.read_time = int(time.time())

    async def _listing(self, exchange: str, market: str) -> Listing:
        client = self._open(exchange, market)
        try:
            found = await client.load_markets()
            wanted = "swap" if market == FUTURES else "spot"
            symbols = {
                name: _listed(name, one, client.precisionMode)
                for name, one in found.items()
                if one.get(wanted)
            }
            return Listing(symbols, _timeframes(client.timeframes or {}))
        finally:
            await _close(client)


async def _close(client: Any) -> None:
    with contextlib.suppress(Exception):
        async with asyncio.timeout(CLOSE_TIMEOUT_S):
            await client.close()


def _timeframes(names: Any) -> tuple[str, ...]:
    """ccxt's names of the timeframes that a series can have, the shortest first."""
    found = followable_named(names)
    return tuple(sorted(found, key=lambda name: found[name]))


def _listed(name: str, one: Mapping[str, Any], mode: int) -> ListedSymbol:
    price = (one.get("precision") or {}).get("price")
    return ListedSymbol(
        name,
        sys.intern(str(one.get("base") or "")),
        sys.intern(str(one.get("quote") or "")),
        one.get("active") is not False,
        _shared_step(mode, price if isinstance(price, int | float | str) else None),
    )


# Thousands of symbols have one of a few steps.
_shared_step = lru_cache(maxsize=1024)(price_step)


@once
def listings() -> Listings:
    """The listings of this process."""
    return Listings(open_exchange, ttl_s=settings.SWITCHES.binance_exchangeinfo_ttl_s)


def is_listed(series: SeriesId) -> bool:
    """Whether the exchange is known to list the series, without waiting; from any thread.

    A listing that is not in memory is read in the background: False until then.
    """
    try:
        return listings().refusal(series) is None
    except LookupError:
        exchange_loop().run(_checked(series), 2 * ANSWER_TIMEOUT_S)
        return False


async def _checked(series: SeriesId) -> None:
    with contextlib.suppress(FeedError):
        await listings().check(series)


async def check(series: SeriesId) -> None:
    """Listings.check of this process's listings, from any event loop.

    An exchange or market that is not known is refused at once.
    """
    check_known(series.exchange, series.market)
    try:
        refusal = listings().refusal(series)
    except LookupError:
        asked = exchange_loop().run(listings().check(series), 2 * ANSWER_TIMEOUT_S)
        await asyncio.wrap_future(asked)
        return
    if refusal is not None:
        raise refusal


def known_listings(venues: Collection[Venue]) -> list[KnownListing]:
    """What is in memory, from any thread; what is missing or outdated is read in the background."""
    if any(map(listings().is_due, venues)):
        exchange_loop().run(listings().refresh(venues), REFRESH_TIMEOUT_S)
    return [listings().known(venue) for venue in venues]
