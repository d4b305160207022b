"""Listings of exchanges: read once for all who ask, kept, and bounded."""

from __future__ import annotations

import asyncio

import pytest

from lab.waiting import eventually
from market.domain.feed import FeedError, FeedRefused, UnknownSymbol
from market.domain.series import SeriesId
from market.exchanges import listings
from market.exchanges.listings import (
    MAX_LISTINGS,
    READS_AT_ONCE,
    RECHECK_S,
    RETRY_S,
    Listings,
    ListingState,
)
from market.exchanges.price_step import PriceStep

VENUE = ("binance", "spot")
BTC = SeriesId.parse("binance:spot:BTC/USDT:1m")
NEW = SeriesId.parse("binance:spot:NEW/USDT:1m")
TTL_S = 3600.0


class Client:
    """A ccxt object whose listing is `markets`, or an error."""

    timeframes = {"1h": "1h", "1m": "1m", "quarter": "?"}  # noqa: RUF012
    precisionMode = 4  # noqa: N815 - ccxt's name; a tick

    def __init__(self, bench):
        self._bench = bench

    async def load_markets(self):
        self._bench.reads += 1
        self._bench.open += 1
        self._bench.most_open = max(self._bench.open, self._bench.most_open)
        await asyncio.sleep(0)
        if isinstance(self._bench.markets, Exception):
            raise self._bench.markets
        return self._bench.markets

    async def close(self):
        self._bench.closed += 1
        self._bench.open -= 1


class Bench:
    def __init__(self):
        self.now = 1000.0
        self.reads = self.closed = self.open = self.most_open = 0
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
    assert {type(each) for each in outcomes} == {UnknownSymbol}
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


def state(bench):
    return bench.listings.known(VENUE).state


async def test_state_of_a_listing_follows_its_reads(bench):
    assert state(bench) is ListingState.READING
    bench.markets = OSError("unreachable")
    await bench.listings.refresh([VENUE])
    assert state(bench) is ListingState.UNAVAILABLE
    assert not bench.listings.is_due(VENUE)
    bench.now += RETRY_S
    bench.markets = {"BTC/USDT": {"spot": True}}
    await bench.listings.refresh([VENUE])
    assert state(bench) is ListingState.CURRENT
    await bench.listings.refresh([VENUE])
    assert bench.reads == 2
    bench.now += TTL_S
    bench.markets = OSError("unreachable")
    assert state(bench) is ListingState.STALE
    await bench.listings.refresh([VENUE])
    assert state(bench) is ListingState.STALE
    assert "BTC/USDT" in bench.listings.known(VENUE).listing.symbols


async def test_listing_has_what_a_series_can_be(bench):
    bench.markets = {
        "BTC/USDT": {
            "spot": True,
            "base": "BTC",
            "quote": "USDT",
            "active": True,
            "precision": {"price": 0.25},
        },
        "OLD/USDT": {"spot": True, "active": False},
        "BTC/USDT:USDT": {"swap": True},
    }
    await bench.listings.refresh([VENUE])
    found = bench.listings.known(VENUE).listing
    assert found.timeframes == ("1m", "1h")
    assert found.symbols.keys() == {"BTC/USDT", "OLD/USDT"}
    assert found.symbols["BTC/USDT"].step == PriceStep(tick=0.25)
    assert [each.is_active for each in found.symbols.values()] == [True, False]


async def test_many_listings_are_read_a_few_at_a_time(bench):
    venues = [(f"x{number}", "spot") for number in range(3 * READS_AT_ONCE)]
    both = [bench.listings.refresh(venues), bench.listings.refresh(venues)]
    await asyncio.gather(*both)
    assert (bench.reads, bench.most_open) == (len(venues), READS_AT_ONCE)
    assert bench.listings.exchanges() == sorted(exchange for exchange, _ in venues)


async def test_unknown_exchange_is_no_listing_that_fails(settings):
    with pytest.raises(FeedError):
        await listings.check(SeriesId("nowhere", "spot", "BTC/USDT", BTC.timeframe))


async def test_listing_is_read_in_the_background(monkeypatch, bench):
    monkeypatch.setattr(listings, "listings", lambda: bench.listings)
    assert not listings.is_listed(BTC)
    await eventually(lambda: listings.is_listed(BTC))
    assert not listings.is_listed(NEW)
    assert bench.reads == 1
