"""The newest candles, from venues whose requests are odd."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lab.venues.habits import Habits, Wrong
from lab.venues.table import venue_of
from lab.venues.truth import Truth
from lab.venues.venue import open_venue, series_at
from market.domain.feed import FeedError
from market.exchanges.ccxt_history import History

MIDNIGHT = 1_759_968_000


async def newest(exchange, now, habits=None):
    """The open times of five closed candles and the open one, in minutes from `now`'s."""
    venue = venue_of(exchange, "spot")
    assert venue is not None
    client = open_venue(venue, Truth(now=now, listing=now - 86_400 * 3), habits)
    try:
        found = await History(client).recent(series_at(exchange, "spot"), 5)
    finally:
        await client.close()
    times = [*found.closed, *([found.forming] if found.forming else [])]
    return [(one.candle_time - now // 60 * 60) // 60 for one in times]


@pytest.mark.parametrize(
    # A day in the path; no request without an end; no start at all; everything from `since` on.
    "exchange",
    ["bitbank", "zebpay", "deepcoin", "gemini", "kraken", "binance", "okx", "upbit"],
)
@pytest.mark.parametrize("now", [MIDNIGHT + 130, MIDNIGHT + 7_230])
async def test_newest_candles_come_also_after_midnight(exchange, now):
    assert await newest(exchange, now) == [-5, -4, -3, -2, -1, 0]


@pytest.mark.parametrize("wrong", [Wrong.MAINTENANCE, Wrong.NULL_PRICES])
async def test_answer_that_can_not_be_read_is_an_error(wrong):
    with pytest.raises(FeedError):
        await newest("binance", MIDNIGHT, replace(Habits(), wrong={1: wrong}))
