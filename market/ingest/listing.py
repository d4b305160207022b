"""Asking an exchange whether it has a series at all, before somebody whitelists it."""

from __future__ import annotations

import asyncio

from market.domain.series import SeriesId
from market.exchanges.ccxt_client import feed_errors, listing_of, open_exchange, timeframe_of


async def check_listed(series: SeriesId, *, timeout: float) -> None:
    """Return when the exchange offers the series.

    Raises FeedRefused when it does not (or nobody knows the exchange), and another FeedError when
    that could not be found out within `timeout` seconds.
    """
    exchange = open_exchange(series.exchange, series.market)
    try:
        with feed_errors(f"markets of {series.exchange}"):
            async with asyncio.timeout(timeout):
                await exchange.load_markets()
        listing_of(exchange, series)
        timeframe_of(exchange, series)
    finally:
        await exchange.close()
