"""Asking an exchange (the local one, through ccxt) whether it has a series."""

from __future__ import annotations

from dataclasses import replace

import pytest

from market.domain.feed import (
    FeedError,
    FeedRefused,
    UnknownExchange,
    UnknownMarket,
    UnknownSymbol,
    UnknownTimeframe,
)
from market.domain.series import SeriesId
from market.exchanges.ccxt_client import check_known, open_exchange
from market.exchanges.listings import Listings, check
from market.local_exchange.generated import GeneratedCandles
from market.local_exchange.server import running_exchange


@pytest.fixture(scope="module")
def exchange_url():
    with running_exchange(GeneratedCandles(3)) as running:
        yield running.url


@pytest.fixture
def sim(exchange_url, settings):
    settings.SWITCHES = replace(settings.SWITCHES, sim_url=exchange_url)


async def ask(name):
    series = SeriesId.parse(name)
    check_known(series.exchange, series.market)
    await Listings(open_exchange, ttl_s=60).check(series)


@pytest.mark.parametrize("name", ["sim:spot:BTC/USDT:1m", "sim:futures:BTC/USDT:5m"])
async def test_series_that_the_exchange_has_is_listed(sim, name):
    await ask(name)


@pytest.mark.parametrize(
    ("name", "refusal"),
    [
        ("sim:spot:NOPE/USDT:1m", UnknownSymbol),
        ("sim:spot:BTC/USDT:7m", UnknownTimeframe),
        ("sim:options:BTC/USDT:1m", UnknownMarket),
        ("nowhere:spot:BTC/USDT:1m", UnknownExchange),
    ],
)
async def test_series_that_the_exchange_has_not_is_refused(sim, name, refusal):
    with pytest.raises(refusal):
        await ask(name)


@pytest.mark.parametrize("name", ["sim:options:BTC/USDT:1m", "nowhere:spot:BTC/USDT:1m"])
async def test_unknown_exchange_or_market_is_not_asked(name):
    with pytest.raises((UnknownExchange, UnknownMarket)):
        await check(SeriesId.parse(name))


async def test_unreachable_exchange_is_no_refusal(settings):
    settings.SWITCHES = replace(settings.SWITCHES, sim_url="http://127.0.0.1:1")
    with pytest.raises(FeedError) as raised:
        await ask("sim:spot:BTC/USDT:1m")
    assert not isinstance(raised.value, FeedRefused)
