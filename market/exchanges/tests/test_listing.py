"""Asking an exchange (the local one, through ccxt) whether it has a series."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lab.waiting import patience
from market.domain.feed import FeedError, FeedRefused
from market.domain.series import SeriesId
from market.exchanges.ccxt_feed import check_listed
from market.local_exchange.generated import GeneratedCandles
from market.local_exchange.server import running_exchange


@pytest.fixture(scope="module")
def exchange_url():
    with running_exchange(GeneratedCandles(3)) as running:
        yield running.url


@pytest.fixture
def sim(exchange_url, settings):
    settings.SWITCHES = replace(settings.SWITCHES, sim_url=exchange_url)


@pytest.mark.parametrize("name", ["sim:spot:BTC/USDT:1m", "sim:futures:BTC/USDT:5m"])
async def test_series_that_the_exchange_has_is_listed(sim, name):
    await check_listed(SeriesId.parse(name), timeout=patience(10))


@pytest.mark.parametrize(
    "name",
    [
        "sim:spot:NOPE/USDT:1m",
        "sim:spot:BTC/USDT:7m",
        "sim:options:BTC/USDT:1m",
        "nowhere:spot:BTC/USDT:1m",
    ],
)
async def test_series_that_the_exchange_has_not_is_refused(sim, name):
    with pytest.raises(FeedRefused):
        await check_listed(SeriesId.parse(name), timeout=patience(10))


async def test_unreachable_exchange_is_no_refusal(settings):
    settings.SWITCHES = replace(settings.SWITCHES, sim_url="http://127.0.0.1:1")
    with pytest.raises(FeedError) as raised:
        await check_listed(SeriesId.parse("sim:spot:BTC/USDT:1m"), timeout=5)
    assert not isinstance(raised.value, FeedRefused)
