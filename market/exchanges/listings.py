"""What exchanges list: every symbol and timeframe of a market, read once for all who ask.

A listing is whole, so a symbol that is not in it costs the exchange nothing. It is read on the
process's exchange loop, in the background: whoever asks meanwhile waits only for a few seconds.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from django.conf import settings

from market.domain.feed import FeedError, FeedRefused
from market.domain.series import SeriesId
from market.domain.timeframe import Timeframe, TimeframeError
from market.exchanges.ccxt_client import FUTURES, feed_errors, open_exchange, symbol_of
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


class Listing(NamedTuple):
    """Symbols of one market of an exchange in ccxt's spelling, and its timeframes' grids."""

    symbols: frozenset[str]
    grids: frozenset[tuple[int, int]]

    def refusal(self, series: SeriesId) -> FeedRefused | None:
        """Why the exchange has no such series; None when it has it."""
        if symbol_of(series) not in self.symbols:
            what = f"{series.market} market {series.symbol}"
            return FeedRefused(f"{series.exchange} has no {what}")
        if _grid(series.timeframe) not in self.grids:
            return FeedRefused(f"{series.exchange} has no timeframe {series.timeframe}")
        return None


@dataclass(slots=True)
class _Known:
    """The listing of one market, and when it was read or could not be read (monotonic)."""

    listing: Listing | None = None
    read_at: float = -math.inf
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
        self._known: OrderedDict[tuple[str, str], _Known] = OrderedDict()

    def refusal(self, series: SeriesId) -> FeedRefused | None:
        """Answer from memory, from any thread, as `check` does.

        Raises LookupError when the listing has to be read first.
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
        key = (series.exchange, series.market)
        known = self._known.setdefault(key, _Known())
        self._known.move_to_end(key)
        while len(self._known) > MAX_LISTINGS:
            self._known.popitem(last=False)
        if self._is_due(known, series):
            if known.reading is None or known.reading.done():
                known.reading = asyncio.create_task(self._read(known, *key))
            await asyncio.wait([known.reading], timeout=ANSWER_TIMEOUT_S)
        if known.listing is None:
            reason = known.error or "its listing is still being read"
            raise FeedError(f"{series.exchange} {series.market}: {reason}")
        if (refusal := known.listing.refusal(series)) is not None:
            raise refusal

    def _is_due(self, known: _Known, series: SeriesId) -> bool:
        """Whether the listing must be read, and may be by now."""
        now = self._clock()
        if now - known.failed_at < RETRY_S:
            return False
        if known.listing is None or now - known.read_at >= self._ttl_s:
            return True
        return now - known.read_at >= RECHECK_S and known.listing.refusal(series) is not None

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

    async def _listing(self, exchange: str, market: str) -> Listing:
        client = self._open(exchange, market)
        try:
            found = await client.load_markets()
            wanted = "swap" if market == FUTURES else "spot"
            symbols = frozenset(name for name, one in found.items() if one.get(wanted))
            return Listing(symbols, frozenset(_grids(client.timeframes or {})))
        finally:
            with contextlib.suppress(Exception):
                async with asyncio.timeout(CLOSE_TIMEOUT_S):
                    await client.close()


def _grid(timeframe: Timeframe) -> tuple[int, int]:
    return timeframe.seconds, timeframe.offset


def _grids(names: Any) -> set[tuple[int, int]]:
    found = set()
    for name in names:
        with contextlib.suppress(TimeframeError):
            found.add(_grid(Timeframe.parse(name)))
    return found


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
    """Listings.check of this process's listings, from any event loop."""
    try:
        refusal = listings().refusal(series)
    except LookupError:
        asked = exchange_loop().run(listings().check(series), 2 * ANSWER_TIMEOUT_S)
        await asyncio.wrap_future(asked)
        return
    if refusal is not None:
        raise refusal
