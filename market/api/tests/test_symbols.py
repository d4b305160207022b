"""GET /api/market/symbols: what is searched, its pages, and listings that can't be had."""

from __future__ import annotations

import asyncio
import threading
import time

import orjson
import pytest

from lab.waiting import patience, wait_until
from market.api.tests.asking import items, refusal
from market.exchanges import listings
from market.ingest import symbols as searched

PATH = "/api/market/symbols"

pytestmark = pytest.mark.usefixtures("in_memory")


def market(base, quote="USDT", *, settle="", tick=0.01, active=True):
    return {
        "base": base,
        "quote": quote,
        "active": active,
        "spot": not settle,
        "swap": bool(settle),
        "precision": {"price": tick},
    }


class Exchanges:
    """Exchanges with thousands of symbols."""

    def __init__(self):
        self.requests = []
        self.failures = {}
        self.may_answer = threading.Event()
        self.may_answer.set()
        self.markets = {f"T{n:04}/USDT": market(f"T{n:04}") for n in range(1500)}
        self.markets |= {
            "BTC/USDT": market("BTC", tick=0.25),
            "BTC/EUR": market("BTC", "EUR", tick=None),
            "GONE/USDT": market("GONE", active=False),
            "BTC/USDT:USDT": market("BTC", settle="USDT", tick=10),
            "BTC/USD:BTC": market("BTC", "USD", settle="BTC"),
        }

    def open(self, exchange, market):
        self.requests.append((exchange, market))
        return Client(self, exchange)


class Client:
    """ccxt's face of one of them."""

    timeframes = {"1m": "1m", "1h": "1h", "1d": "1d"}  # noqa: RUF012
    precisionMode = 4  # noqa: N815 - ccxt's name; a tick

    def __init__(self, exchanges, name):
        self._exchanges = exchanges
        self._name = name

    async def load_markets(self):
        await asyncio.to_thread(self._exchanges.may_answer.wait, patience())
        if failure := self._exchanges.failures.get(self._name):
            raise failure
        return self._exchanges.markets

    async def close(self):
        pass


@pytest.fixture
def exchanges(monkeypatch, switch, tmp_path):
    """Binance by its whitelisted series, and kraken by name."""
    path = tmp_path / "whitelist.json"
    path.write_text(
        orjson.dumps(["binance:spot:T0042/USDT:1h", "binance:spot:T0042/USDT:1m"]).decode()
    )
    switch(
        whitelist_path=str(path),
        enable_ondemand_ingest=True,
        ondemand_exchanges="binance,kraken",
    )
    made = Exchanges()
    monkeypatch.setattr(listings, "open_exchange", made.open)
    return made


@pytest.fixture
def search(api, exchanges):
    def ask(query="", **more):
        response = api.get(PATH, query=query, **more)
        assert response.status_code == 200, response.content
        return response.json()

    return ask


@pytest.fixture
def began():
    """The second in which the test began; to be named before `read`, which reads the listings."""
    return int(time.time())


@pytest.fixture
def read(search):
    """Searches once every listing has been read."""

    def is_read():
        return "reading" not in states(search(limit=1))

    wait_until(is_read, 10, "the listings")
    return search


def states(answer):
    return [each["state"] for each in answer["listings"]]


def names(answer):
    return [f"{each['exchange']} {each['market']} {each['symbol']}" for each in answer["items"]]


def test_symbol_has_all_that_a_series_needs(began, read, exchanges):
    answer = read("btc", market="futures", limit=1)
    assert answer.pop("next_cursor")
    read_at = [listing.pop("read_at") for listing in answer["listings"]]
    assert all(began <= each <= time.time() for each in read_at)
    listing = {"market": "futures", "state": "current", "symbols": 2}
    listing["timeframes"] = ["1m", "1h", "1d"]
    assert answer == {
        "query": "btc",
        "exchange": None,
        "market": "futures",
        "limit": 1,
        "total": 4,
        "items": [
            {
                "exchange": "binance",
                "market": "futures",
                "symbol": "BTC/USDT",
                "base_asset": "BTC",
                "quote_asset": "USDT",
                "active": True,
                "price_tick": 10.0,
                "price_digits": None,
                "whitelisted": [],
                "matched": [[0, 3]],
            }
        ],
        "listings": [
            {"exchange": "binance", **listing},
            {"exchange": "kraken", **listing},
        ],
    }


def test_search_covers_every_market_of_every_exchange_that_is_served(read, exchanges):
    found = read("btc")
    assert names(found) == [
        "binance futures BTC/USDT",
        "binance spot BTC/USDT",
        "kraken futures BTC/USDT",
        "kraken spot BTC/USDT",
        "binance futures BTC/USD:BTC",
        "kraken futures BTC/USD:BTC",
        "binance spot BTC/EUR",
        "kraken spot BTC/EUR",
    ]
    assert found["total"] == 8
    assert read("")["total"] == 2 * (1503 + 2)


def test_searches_make_no_requests_to_exchanges(read, exchanges):
    before = list(exchanges.requests)
    assert sorted(before) == [
        (exchange, market) for exchange in ("binance", "kraken") for market in ("futures", "spot")
    ]
    for number in range(50):
        read(f"T{number}")
    assert exchanges.requests == before


def test_series_id_of_an_exchange_that_is_not_served_is_not_found(read):
    """Not refused: a page asks for the tick of whatever series it shows."""
    assert names(read("okx:spot:BTC/USDT:1m")) == []
    assert names(read("kraken:spot:BTC/USDT:1m", limit=1)) == ["kraken spot BTC/USDT"]


def test_whitelisted_symbols_come_first_with_their_timeframes(read):
    first = read("T00", limit=1)["items"][0]
    assert (first["symbol"], first["exchange"]) == ("T0042/USDT", "binance")
    assert first["whitelisted"] == ["1m", "1h"]


def test_markets_that_are_not_traded_any_more_are_marked(read):
    assert [each["active"] for each in read("gone")["items"]] == [False, False]


def test_pages_have_every_symbol_once(read):
    seen, cursor = [], {}
    while True:
        page = read("t0", limit=100, **cursor)
        assert len(page["items"]) <= 100
        seen += names(page)
        if page["next_cursor"] is None:
            break
        cursor = {"cursor": page["next_cursor"]}
    assert len(seen) == len(set(seen)) == page["total"] == 2000


@pytest.mark.parametrize("cursor", ["x", "bnVsbA==", "WzEsMl0=", "\u00e4", "W1tbW1tb" * 40])
def test_cursor_of_no_answer_is_refused(api, exchanges, cursor):
    assert refusal(api.get(PATH, cursor=cursor)) == (400, "invalid_cursor")


def test_listing_that_can_not_be_read_is_named(search, exchanges):
    exchanges.failures["kraken"] = OSError("unreachable")
    exchanges.may_answer.clear()
    assert set(states(search("btc"))) == {"reading"}
    exchanges.may_answer.set()
    wait_until(lambda: "reading" not in states(search("btc")), 10, "the listings")
    answer = search("btc")
    assert states(answer) == ["current", "current", "unavailable", "unavailable"]
    assert {each["exchange"] for each in answer["items"]} == {"binance"}


def test_old_listing_is_searched_and_named(read, exchanges, monkeypatch):
    exchanges.failures = {"binance": OSError("away"), "kraken": OSError("away")}
    known = listings.listings()
    monkeypatch.setattr(known, "_ttl_s", 0.0)
    answer = read("btc")
    assert set(states(answer)) == {"stale"}
    assert answer["total"] == 8


def test_whitelisted_symbol_is_found_while_its_listing_is_not(search, exchanges):
    exchanges.failures["binance"] = OSError("unreachable")
    exchanges.failures["kraken"] = OSError("unreachable")
    found = search("t0042")
    assert names(found) == ["binance spot T0042/USDT"]
    assert (found["items"][0]["active"], found["items"][0]["price_tick"]) == (True, None)


@pytest.mark.parametrize("exchange", ["okx", "nowhere", "__class__"])
def test_exchange_that_is_not_served_is_refused(api, exchanges, exchange):
    assert refusal(api.get(PATH, exchange=exchange)) == (400, "unsupported_exchange")
    assert exchanges.requests == []


def test_one_exchange_is_searched_alone(read, exchanges):
    answer = read("btc", exchange="kraken", market="spot")
    assert names(answer) == ["kraken spot BTC/USDT", "kraken spot BTC/EUR"]
    assert [each["exchange"] for each in answer["listings"]] == ["kraken"]


def test_without_on_demand_only_the_whitelist_can_be_followed(read, switch):
    switch(enable_ondemand_ingest=False)
    assert names(read("")) == ["binance spot T0042/USDT"]


def test_local_exchange_is_searched_where_it_is_set(read, switch, exchanges):
    switch(ondemand_exchanges="", sim_url="http://127.0.0.1:1")
    read("")
    assert [each["exchange"] for each in read("")["listings"]] == ["binance"] * 2 + ["sim"] * 2


def test_all_exchanges_are_those_in_memory_until_one_is_named(read, switch, exchanges):
    switch(ondemand_exchanges="*")
    assert {each["exchange"] for each in read("")["listings"]} == {"binance", "kraken"}
    answer = read("btc", exchange="okx")
    wait_until(lambda: ("okx", "spot") in exchanges.requests, 10, "the listing of okx")
    assert [each["exchange"] for each in answer["listings"]] == ["okx", "okx"]
    assert {each["exchange"] for each in read("")["listings"]} == {"binance", "kraken", "okx"}


def test_listings_beyond_the_bound_are_named(read, switch, exchanges, monkeypatch):
    monkeypatch.setattr(searched, "MAX_SEARCHED", 2)
    answer = read("btc")
    assert states(answer) == ["current", "current", "not_searched", "not_searched"]
    assert {each["exchange"] for each in answer["items"]} == {"binance"}
    assert read("btc", exchange="kraken")["total"] == 4


@pytest.mark.parametrize(
    ("query", "kind", "name"),
    [
        ({"query": "x" * 101}, "string_too_long", "query"),
        ({"market": "options"}, "literal_error", "market"),
        ({"exchange": ""}, "string_too_short", "exchange"),
        ({"limit": 0}, "greater_than_equal", "limit"),
        ({"limit": 101}, "less_than_equal", "limit"),
        ({"cursor": "x" * 401}, "string_too_long", "cursor"),
    ],
)
def test_wrong_query_is_named(api, exchanges, query, kind, name):
    assert items(api.get(PATH, **query)) == [(kind, ["query", name])]
