"""Over every exchange of ccxt: what an empty answer skips was asked for."""

from __future__ import annotations

import pytest

from lab.venues.scan import scan, scannable, unscannable
from lab.venues.table import venue_of


async def test_every_exchange_skips_only_what_it_was_asked_for():
    found = [await scan(venue) for venue in scannable()]
    assert len(found) > 170
    assert [one for one in found if not one.is_right] == []


@pytest.mark.parametrize(
    ("exchange", "asked"), [("mexc", 499), ("bullish", 99), ("btcmarkets", 199), ("binance", 999)]
)
async def test_window_is_that_of_the_request_not_the_page_size(exchange, asked):
    venue = venue_of(exchange, "spot")
    assert venue is not None
    found = await scan(venue)
    assert (found.skipped, found.unasked) == (asked, 0)


def test_every_exchange_with_candles_is_in_the_table_or_named_with_the_reason():
    reasons = dict(unscannable())
    unknown = {name for name, reason in reasons.items() if "no candles" not in reason}
    assert unknown == {"modetrade", "woofipro"}
