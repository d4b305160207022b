"""For every exchange of ccxt: the window that a read asks for, and the one that it skips.

Nothing was traded at these venues, so every answer is empty, and only the request shows how far a
read may go on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

import ccxt.async_support

from lab.venues.table import VENUES, Venue, venue_of
from lab.venues.truth import Truth
from lab.venues.venue import open_venue, series_at
from market.domain.feed import FeedError, FeedRefused, Missing
from market.domain.timeframe import followable_named
from market.exchanges.ccxt_client import MARKETS
from market.exchanges.ccxt_history import History, page_size

# A day on which no grid of a longer timeframe begins.
NOW = 1_760_000_000 // 60 * 60 + 30
# Pages of a read: enough to see that the windows join.
PAGES = 4


class Scanned(NamedTuple):
    """One line of the table; times and counts are candles from the first one of the read.

    `asked` is what the first request asks for by its own parameters, `skipped` what the read goes
    on by after the empty answer, `unasked` what a whole read skipped without having asked for it.
    """

    exchange: str
    market: str
    timeframe: str
    page: int
    asked: int
    skipped: int
    unasked: int
    note: str = ""

    @property
    def is_right(self) -> bool:
        """Whether every skipped candle was asked for."""
        return self.unasked == 0 and self.skipped <= self.asked


def scannable() -> Iterator[Venue]:
    """Every exchange of ccxt that has a row, in each market."""
    for exchange in ccxt.async_support.exchanges:
        for market in MARKETS:
            found = venue_of(exchange, market)
            if found is not None:
                yield replace(found, market=market)


def unscannable() -> Iterator[tuple[str, str]]:
    """Exchanges without a row, and why."""
    known = {exchange for exchange, _ in VENUES}
    for exchange in ccxt.async_support.exchanges:
        if exchange in known:
            continue
        has = getattr(ccxt.async_support, exchange)().has.get("fetchOHLCV")
        if has is True:
            yield exchange, "its requests of candles need credentials"
        elif has:
            yield exchange, "ccxt builds its candles from trades"
        else:
            yield exchange, "ccxt has no candles of it"


async def scan(venue: Venue) -> Scanned:
    """Read what was never traded, and compare the windows."""
    exchange = open_venue(venue, Truth(now=NOW, listing=2 * NOW))
    name = _shortest(exchange.timeframes or {})
    series = series_at(venue.id, venue.market, name)
    step, size = series.timeframe.seconds, page_size(exchange, venue.market)
    start = series.timeframe.open_of(NOW - 9_000 * step)
    end = min(start + PAGES * size * step, series.timeframe.latest_closed(NOW))
    skipped: list[tuple[int, int]] = []
    note = ""
    try:
        async for page in History(exchange).pages(series, start, end):
            if page.holes[0].why is Missing.UNSERVED:
                # It is not taken for empty.
                note = f"unserved: {page.holes[0].detail}"
            else:
                skipped.append(page.asked)
    except FeedRefused as refused:
        note = f"refused: {refused}"
    except FeedError as failed:
        note = f"{type(failed).__name__}: {failed}"
    finally:
        await exchange.close()
    if not (skipped and exchange.asked):
        return Scanned(venue.id, venue.market, name, size, 0, 0, 0, note)
    start = skipped[0][0]
    # The first request that asks for the first page.
    first = next((one for one in exchange.asked if one[0] <= start <= one[1]), (start, start))
    unasked = sum(
        1
        for page in skipped
        for time in range(page[0], page[1] + 1, step)
        if not any(one[0] <= time <= one[1] for one in exchange.asked)
    )
    return Scanned(
        venue.id,
        venue.market,
        name,
        size,
        (min(first[1], end) - start) // step + 1,
        (skipped[0][1] - start) // step + 1,
        unasked,
        note,
    )


def _shortest(names: object) -> str:
    """The shortest timeframe of a minute or more."""
    found = followable_named(names if isinstance(names, dict) else ())
    return min((one.seconds, name) for name, one in found.items() if one.seconds >= 60)[1]


def scan_all() -> Iterator[Scanned]:
    """Every exchange and market of ccxt that has candles."""
    for venue in scannable():
        yield asyncio.run(scan(venue))
