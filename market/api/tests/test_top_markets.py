"""Top markets: ranking, caches and failures."""

from __future__ import annotations

import asyncio

import ccxt
import pytest

from market.api.tests.asking import items, refusal
from market.api.tests.ranked_exchange import Exchange
from market.exchanges.top_markets import (
    IDLE_S,
    MAX_VENUES,
    TopMarketsSource,
    TopMarketsUnavailable,
)

PATH = "/api/market/top_markets"

pytestmark = pytest.mark.usefixtures("in_memory")


def test_spot_ranking_has_the_written_shape(api, world):
    found = api.get(PATH, market="spot", quote_asset="usdt", limit=1).json()
    assert found.pop("generated_at_ms") > 1_700_000_000_000
    assert found == {
        "exchange": "binance",
        "market": "spot",
        "quote_asset": "USDT",
        "limit": 1,
        "cached": False,
        "items": [
            {
                "exchange": "binance",
                "market": "spot",
                "symbol": "ETH/USDT",
                "symbol_id": "ETHUSDT",
                "base_asset": "ETH",
                "quote_asset": "USDT",
                "last_price": None,
                "quote_volume": 20.0,
                "price_change_percent": None,
            }
        ],
    }


def test_ticks_are_added_for_clients_that_ask(api, world):
    item = api.get(PATH, market="spot", limit=1, ticks="1").json()["items"][0]
    assert (item["price_tick"], item["price_digits"]) == (0.25, None)


def symbols(response):
    assert response.status_code == 200, response.content
    return [item["symbol"] for item in response.json()["items"]]


def test_only_open_symbols_of_the_quote_asset_are_ranked_by_volume(api, world):
    assert symbols(api.get(PATH, market="spot")) == ["ETH/USDT", "BTC/USDT"]
    assert symbols(api.get(PATH, market="spot", quote_asset="BTC")) == ["ETH/BTC"]
    assert symbols(api.get(PATH, market="spot", quote_asset="EUR")) == []


def test_futures_are_perpetuals_without_their_settle_asset(api, world):
    assert symbols(api.get(PATH, market="futures")) == ["BTC/USDT"]


def test_ticker_without_volume_is_left_out(api, world):
    world.exchange.tickers["ETH/USDT"]["quoteVolume"] = None
    world.exchange.tickers["BTC/USDT"]["quoteVolume"] = True
    assert symbols(api.get(PATH, market="spot")) == []


def test_parts_are_cached_for_their_times(api, world):
    def cached():
        return api.get(PATH, market="spot").json()["cached"]

    assert (cached(), cached()) == (False, True)
    world.time = 11
    assert (cached(), cached()) == (False, True)
    assert world.exchange.calls == ["listings", "tickers", "tickers"]
    world.time = 3_601
    assert not cached()
    assert world.exchange.calls[3:] == ["listings", "tickers"]


def test_force_fetches_and_is_limited(api, world):
    api.get(PATH, market="spot")
    forced = api.get(PATH, market="spot", force="yes")
    assert forced.json()["cached"] is False
    assert world.exchange.calls == ["listings", "tickers"] * 2
    refused = api.get(PATH, market="spot", force="1")
    assert refusal(refused) == (429, "rate_limited")
    assert refused.json()["detail"] == "rate_limited"
    assert api.get(PATH, market="futures", force="1").status_code == 200


def test_stale_ranking_is_answered_while_the_exchange_fails(api, world):
    api.get(PATH, market="spot")
    world.time = 10_000
    world.exchange.failure = ccxt.ExchangeNotAvailable("down")
    assert symbols(api.get(PATH, market="spot")) == ["ETH/USDT", "BTC/USDT"]


@pytest.mark.parametrize(
    "failure",
    [ccxt.ExchangeNotAvailable("down"), OSError("no route"), TimeoutError(), KeyError("x")],
)
def test_failure_with_nothing_cached_is_reported(api, world, failure):
    world.exchange.failure = failure
    response = api.get(PATH, market="spot")
    assert refusal(response) == (502, "upstream_error")
    assert response.json()["detail"].startswith("upstream_error:")


def test_exchange_without_tickers_is_an_upstream_error(api, world, switch):
    switch(ondemand_exchanges="kraken")
    world.exchange.failure = ccxt.NotSupported("no tickers")
    response = api.get(PATH, market="spot", exchange="kraken")
    assert refusal(response) == (502, "upstream_error")


@pytest.mark.parametrize("path", [PATH, f"{PATH}/stream"])
@pytest.mark.parametrize("exchange", ["nowhere", "Binance", "__class__", "os", "\0"])
def test_unknown_exchange_is_refused(api, world, path, exchange):
    response = api.get(path, market="spot", exchange=exchange)
    assert refusal(response) == (400, "unsupported_exchange")
    assert response.json()["detail"] == "unsupported exchange"
    assert world.opened == []


@pytest.mark.parametrize("path", [PATH, f"{PATH}/stream"])
def test_exchange_that_is_not_served_is_refused_as_one_without_ranking(api, world, switch, path):
    switch(ondemand_exchanges="okx")
    for exchange in ("kraken", "sim", "*"):
        response = api.get(path, market="spot", exchange=exchange)
        assert refusal(response) == (400, "unsupported_exchange")
    assert world.opened == []


@pytest.fixture
def whitelist(switch, tmp_path):
    """A whitelist of one series of kraken."""
    path = tmp_path / "whitelist.json"
    path.write_text('["kraken:spot:BTC/USDT:1m"]')
    switch(whitelist_path=str(path))


def test_exchanges_of_the_whitelist_are_ranked(api, world, whitelist):
    assert symbols(api.get(PATH, market="spot", exchange="kraken"))
    assert refusal(api.get(PATH, market="spot", exchange="okx")) == (400, "unsupported_exchange")


@pytest.mark.parametrize("named", ["okx, kraken", "*"])
def test_exchanges_that_the_operator_named_are_ranked(api, world, switch, named):
    switch(ondemand_exchanges=named)
    assert symbols(api.get(PATH, market="spot", exchange="kraken"))


def test_local_exchange_is_ranked_where_it_is_set(api, world, switch):
    assert api.get(PATH, market="spot", exchange="sim").status_code == 400
    switch(sim_url="http://127.0.0.1:1")
    assert symbols(api.get(PATH, market="spot", exchange="sim"))


def test_default_exchange_is_ranked_anywhere(api, world, switch, whitelist):
    """Old clients name no other, whatever an installation follows."""
    assert symbols(api.get(PATH, market="spot"))
    switch(ondemand_exchanges="okx")
    assert symbols(api.get(PATH, market="spot"))


@pytest.mark.parametrize(
    ("query", "kind", "name"),
    [
        ({}, "missing", "market"),
        ({"market": "options"}, "literal_error", "market"),
        ({"market": "spot", "exchange": ""}, "string_too_short", "exchange"),
        ({"market": "spot", "quote_asset": "x" * 13}, "string_too_long", "quote_asset"),
        ({"market": "spot", "limit": 201}, "less_than_equal", "limit"),
        ({"market": "spot", "force": "maybe"}, "bool_parsing", "force"),
    ],
)
def test_wrong_query_is_named(api, world, query, kind, name):
    assert items(api.get(PATH, **query)) == [(kind, ["query", name])]


async def test_requests_at_once_share_one_fetch():
    exchange = Exchange()
    source = TopMarketsSource(lambda *_: exchange, listing_ttl_s=60, ticker_ttl_s=60)
    await asyncio.gather(
        *(source.ranking("binance", "spot", quote="USDT", force=False) for _ in range(20))
    )
    assert exchange.calls == ["listings", "tickers"]


async def test_fetch_from_a_silent_exchange_times_out(monkeypatch):
    monkeypatch.setattr("market.exchanges.top_markets.FETCH_TIMEOUT_S", 0.01)
    exchange = Exchange()
    exchange.load_markets = lambda reload: asyncio.Event().wait()
    source = TopMarketsSource(lambda *_: exchange, listing_ttl_s=60, ticker_ttl_s=60)
    with pytest.raises(TopMarketsUnavailable):
        await source.ranking("binance", "spot", quote="USDT", force=False)


async def test_few_exchanges_are_kept_open():
    opened = []

    def open_one(exchange, market):
        opened.append(Exchange())
        return opened[-1]

    source = TopMarketsSource(open_one, listing_ttl_s=60, ticker_ttl_s=60)
    for number in range(MAX_VENUES + 1):
        await source.ranking(f"exchange{number}", "spot", quote="USDT", force=False)
    assert [one.closed for one in opened] == [True] + [False] * MAX_VENUES
    await source.close()
    assert all(one.closed for one in opened)


async def test_exchange_that_is_not_asked_for_any_more_is_closed():
    """As one that the operator does not serve any more."""
    opened, now = {}, 0.0

    def open_one(exchange, market):
        opened[exchange] = Exchange()
        return opened[exchange]

    source = TopMarketsSource(open_one, listing_ttl_s=60, ticker_ttl_s=60, clock=lambda: now)
    for name in ("left", "kept", "kept"):
        await source.ranking(name, "spot", quote="USDT", force=False)
        now += IDLE_S / 2 + 1
    assert (opened["left"].closed, opened["kept"].closed) == (True, False)
    await source.close()
