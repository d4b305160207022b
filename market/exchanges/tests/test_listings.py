"""Listings of exchanges: read once for all who ask, kept, and bounded."""

from __future__ import annotations

import asyncio

import pytest

from lab.waiting import eventually
from market.domain.feed import FeedError, FeedRefused
from market.domain.series import SeriesId
from market.exchanges import listings
from market.exchanges.listings import MAX_LISTINGS, RECHECK_S, RETRY_S, Listings

BTC = SeriesId.parse("binance:spot:BTC/USDT:1m")
NEW = SeriesId.parse("binance:spot:NEW/USDT:1m")
TTL_S = 3600.0


class Client:
    """A ccxt object whose listing is `markets`, or an error."""

    timeframes = {"1m": "1m", "1h": "1h", "quarter": "?"}  # noqa: RUF012

    def __init__(self, bench):
        self._bench = bench

    async def load_markets(self):
        self._bench.reads += 1
        await asyncio.sleep(0)
        if isinstance(self._bench.markets, Exception):
            raise self._bench.markets
        return self._bench.markets

    async def close(self):
        self._bench.closed += 1


class Bench:
    def __init__(self):
        self.now = 1000.0
        self.reads = self.closed = 0
        self.markets = {"BTC/USDT": {"spot": True}, "ETH/USDT:USDT": {"spot": False, "swap": True}}
        self.listings = Listings(
            lambda exchange, market: Client(self), ttl_s=TTL_S, clock=lambda: self.now
        )


@pytest.fixture
def bench():
    return Bench()


async def test_two_thousand_made_up_symbols_cost_one_request(bench):
    made_up = [SeriesId.parse(f"binance:spot:X{n}/USDT:1m") for n in range(2000)]
    outcomes = await asyncio.gather(
        *(bench.listings.check(each) for each in made_up), return_exceptions=True
    )
    assert {type(each) for each in outcomes} == {FeedRefused}
    assert (bench.reads, bench.closed) == (1, 1)


@pytest.mark.parametrize(
    "name",
    ["binance:spot:BTC/USDT:7m", "binance:spot:ETH/USDT:1m", "binance:spot:ETH/USDT:USDT:1m"],
)
async def test_other_timeframes_and_markets_are_refused(bench, name):
    with pytest.raises(FeedRefused):
        await bench.listings.check(SeriesId.parse(name))


async def test_symbol_that_is_new_is_found_after_a_while(bench):
    await bench.listings.check(BTC)
    bench.markets = {**bench.markets, "NEW/USDT": {"spot": True}}
    with pytest.raises(FeedRefused):
        await bench.listings.check(NEW)
    bench.now += RECHECK_S
    await bench.listings.check(NEW)
    assert bench.reads == 2


async def test_listing_that_can_not_be_read_is_asked_for_now_and_then(bench):
    bench.markets = OSError("unreachable")
    for _ in range(5):
        with pytest.raises(FeedError, match="unreachable") as raised:
            await bench.listings.check(BTC)
        assert not isinstance(raised.value, FeedRefused)
    assert bench.reads == 1
    bench.now += RETRY_S
    bench.markets = {"BTC/USDT": {"spot": True}}
    await bench.listings.check(BTC)


async def test_old_listing_serves_while_no_newer_one_can_be_read(bench):
    await bench.listings.check(BTC)
    bench.now += TTL_S
    bench.markets = OSError("unreachable")
    await bench.listings.check(BTC)
    assert bench.reads == 2
    assert bench.listings.refusal(BTC) is None


async def test_answers_from_memory_need_a_listing(bench):
    with pytest.raises(LookupError):
        bench.listings.refusal(BTC)
    await bench.listings.check(BTC)
    assert bench.listings.refusal(BTC) is None
    assert isinstance(bench.listings.refusal(NEW), FeedRefused)


async def test_listings_are_bounded(bench):
    for number in range(MAX_LISTINGS + 1):
        await bench.listings.check(SeriesId(f"x{number}", "spot", "BTC/USDT", BTC.timeframe))
    with pytest.raises(LookupError):
        bench.listings.refusal(SeriesId("x0", "spot", "BTC/USDT", BTC.timeframe))


async def test_unknown_exchange_is_no_listing_that_fails(settings):
    with pytest.raises(FeedError):
        await listings.check(SeriesId("nowhere", "spot", "BTC/USDT", BTC.timeframe))


async def test_listing_is_read_in_the_background(monkeypatch, bench):
    monkeypatch.setattr(listings, "listings", lambda: bench.listings)
    assert not listings.is_listed(BTC)
    await eventually(lambda: listings.is_listed(BTC))
    assert not listings.is_listed(NEW)
    assert bench.reads == 1
