"""Top markets: ranking, caches, failures, and the stream."""

from __future__ import annotations

import asyncio

import ccxt
import orjson
import pytest
from django.core.asgi import get_asgi_application

from lab.waiting import patience
from market.api import top_market_stream
from market.api.front import Front
from market.api.tests.asking import items, refusal, scope
from market.exchanges.top_markets import (
    MAX_VENUES,
    ExchangeLoop,
    TopMarketsSource,
    TopMarketsUnavailable,
)

PATH = "/api/market/top_markets"
STREAM = f"{PATH}/stream"

pytestmark = pytest.mark.usefixtures("in_memory")


def listing(base, quote="USDT", **more):
    return {
        "id": base + quote,
        "base": base,
        "quote": quote,
        "active": True,
        "spot": True,
        "swap": False,
    } | more


class Exchange:
    """ccxt's face of an exchange with four symbols."""

    def __init__(self):
        self.listings = {
            "BTC/USDT": listing("BTC"),
            "ETH/USDT": listing("ETH"),
            "ETH/BTC": listing("ETH", "BTC"),
            "OLD/USDT": listing("OLD", active=False),
            "BTC/USDT:USDT": listing("BTC", spot=False, swap=True, linear=True),
            "ETH/USDT:USDT-261225": listing("ETH", spot=False, future=True),
        }
        self.tickers = {
            "BTC/USDT": {"last": 42_000.5, "quoteVolume": 10.0, "percentage": 1.23},
            "ETH/USDT": {"last": None, "quoteVolume": 20.0, "percentage": float("nan")},
            "ETH/BTC": {"last": 0.05, "quoteVolume": 99.0, "percentage": 0.0},
            "OLD/USDT": {"last": 1.0, "quoteVolume": 99.0, "percentage": 0.0},
            "NEW/USDT": {"last": 1.0, "quoteVolume": 99.0, "percentage": 0.0},
            "BTC/USDT:USDT": {"last": 42_001.0, "quoteVolume": 5.0, "percentage": -1.0},
            "ETH/USDT:USDT-261225": {"last": 1.0, "quoteVolume": 5.0, "percentage": 1.0},
        }
        self.calls = []
        self.failure = None
        self.closed = False

    async def load_markets(self, reload):
        return self.answer("listings", self.listings)

    async def fetch_tickers(self):
        return self.answer("tickers", self.tickers)

    def answer(self, name, value):
        self.calls.append(name)
        if self.failure is not None:
            raise self.failure
        return value

    async def close(self):
        self.closed = True


class World:
    """An exchange behind the endpoint, and the clock of its caches."""

    def __init__(self):
        self.time = 0.0
        self.exchange = Exchange()
        self.opened = []
        self.source = TopMarketsSource(
            self.open, listing_ttl_s=3600, ticker_ttl_s=10, clock=lambda: self.time
        )
        self.loop = ExchangeLoop(self.source)

    def open(self, exchange, market):
        self.opened.append((exchange, market))
        return self.exchange


@pytest.fixture
def world(monkeypatch):
    made = World()
    monkeypatch.setattr("market.api.top_markets.exchange_loop", lambda: made.loop)
    yield made
    made.loop.close()
    assert made.exchange.closed or not made.opened


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


def test_stale_ranking_is_better_than_none(api, world):
    api.get(PATH, market="spot")
    world.time = 10_000
    world.exchange.failure = ccxt.ExchangeNotAvailable("down")
    assert symbols(api.get(PATH, market="spot")) == ["ETH/USDT", "BTC/USDT"]


@pytest.mark.parametrize(
    "failure",
    [ccxt.ExchangeNotAvailable("down"), OSError("no route"), TimeoutError(), KeyError("x")],
)
def test_failure_with_nothing_cached_is_told(api, world, failure):
    world.exchange.failure = failure
    response = api.get(PATH, market="spot")
    assert refusal(response) == (502, "upstream_error")
    assert response.json()["detail"].startswith("upstream_error:")


def test_exchange_without_such_a_list_is_unsupported(api, world):
    world.exchange.failure = ccxt.NotSupported("no tickers")
    response = api.get(PATH, market="spot", exchange="kraken")
    assert refusal(response)[0] in (400, 502)


@pytest.mark.parametrize("path", [PATH, STREAM])
@pytest.mark.parametrize("exchange", ["nowhere", "Binance", "__class__", "os", "\0"])
def test_unknown_exchange_is_refused(api, world, path, exchange):
    response = api.get(path, market="spot", exchange=exchange)
    assert refusal(response) == (400, "unsupported_exchange")
    assert response.json()["detail"] == "unsupported exchange"
    assert world.opened == []


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


@pytest.mark.parametrize(
    ("query", "kind"),
    [
        ({"interval_s": "x"}, "float_parsing"),
        ({"interval_s": "nan"}, "finite_number"),
        ({"interval_s": 0.1}, "greater_than_equal"),
        ({"interval_s": 31}, "less_than_equal"),
        ({"max_events": 1001}, "less_than_equal"),
    ],
)
def test_wrong_stream_query_is_named(api, world, query, kind):
    ((name, _),) = query.items()
    assert items(api.get(STREAM, market="spot", **query)) == [(kind, ["query", name])]


async def test_requests_at_once_share_one_fetch():
    exchange = Exchange()
    source = TopMarketsSource(lambda *_: exchange, listing_ttl_s=60, ticker_ttl_s=60)
    await asyncio.gather(
        *(source.ranking("binance", "spot", quote="USDT", force=False) for _ in range(20))
    )
    assert exchange.calls == ["listings", "tickers"]


async def test_exchange_that_does_not_answer_is_given_up(monkeypatch):
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


def events(content):
    """The events of a stream as (name, number, data); comments are left out."""
    found = []
    for block in content.decode().split("\n\n"):
        fields = dict(
            line.split(": ", 1) for line in block.split("\n") if line[:1] not in ("", ":")
        )
        if fields:
            found.append((fields["event"], fields.get("id"), orjson.loads(fields["data"])))
    return found


class Streamed:
    """A client of the stream behind the middleware; it leaves when told to."""

    def __init__(self, query):
        self.chunks = asyncio.Queue()
        self.gone = asyncio.Event()
        self.start = None
        sent = scope(STREAM, query, "GET", {})
        front = Front(get_asgi_application())
        self.task = asyncio.create_task(front(sent, self.receive, self.send))
        self.asked = False

    async def receive(self):
        if not self.asked:
            self.asked = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message):
        if message["type"] == "http.response.start":
            self.start = message
        else:
            await self.chunks.put(message)


async def test_stream_ends_after_its_events(world):
    client = Streamed("market=spot&max_events=1&interval_s=0.2")
    async with asyncio.timeout(patience(10)):
        await client.task
    first = client.chunks.get_nowait()
    ((name, number, data),) = events(first["body"])
    assert (name, int(number)) == ("top_markets", data["generated_at_ms"])
    assert list(data) == sorted(data)
    assert [item["symbol"] for item in data["items"]] == ["ETH/USDT", "BTC/USDT"]
    assert client.chunks.get_nowait() == {
        "type": "http.response.body",
        "body": b"",
        "more_body": False,
    }
    headers = {name.decode().lower(): value.decode() for name, value in client.start["headers"]}
    assert headers["content-type"] == "text/event-stream"
    assert (headers["cache-control"], headers["x-accel-buffering"]) == ("no-cache", "no")
    assert "content-length" not in headers


async def test_stream_sends_again_only_what_changed_and_ends_with_its_client(world):
    client = Streamed("market=spot&interval_s=0.2")
    async with asyncio.timeout(patience(10)):
        first = await client.chunks.get()
        comments = [await client.chunks.get() for _ in range(2)]
        world.exchange.tickers["BTC/USDT"] = {"last": 1.0, "quoteVolume": 50.0}
        world.time = 11
        changed = await client.chunks.get()
        while not events(changed["body"]):
            changed = await client.chunks.get()
        client.gone.set()
        await client.task
    assert events(first["body"])[0][0] == "top_markets"
    assert all(comment["body"].startswith(b": ping ") for comment in comments)
    data = events(changed["body"])[0][2]
    assert [item["symbol"] for item in data["items"]] == ["BTC/USDT", "ETH/USDT"]
    assert top_market_stream.places.taken == 0


async def test_stream_tells_errors_as_events(world):
    world.exchange.failure = ccxt.ExchangeNotAvailable("down")
    client = Streamed("market=spot&max_events=2&interval_s=0.2")
    async with asyncio.timeout(patience(10)):
        await client.task
    first = client.chunks.get_nowait()
    ((name, number, data),) = events(first["body"])
    assert (name, number, data["type"]) == ("error", None, "error")
    assert "down" in data["message"]
    assert list(data) == ["at_ms", "message", "type"]


async def test_stream_ends_by_itself_after_its_time(world, monkeypatch):
    monkeypatch.setattr("market.api.top_market_stream.MAX_STREAM_S", 0.1)
    client = Streamed("market=spot&interval_s=0.2")
    async with asyncio.timeout(patience(10)):
        await client.task


def test_streams_are_bounded(api, world, monkeypatch):
    monkeypatch.setattr("market.api.top_market_stream.places", top_market_stream.StreamPlaces(0))
    response = api.get(STREAM, market="spot")
    assert refusal(response) == (503, "too_many_streams")


def test_stream_works_without_the_middleware(api, world):
    response = api.get(STREAM, market="spot", max_events=1)
    with pytest.warns(Warning, match="consume asynchronous iterators"):
        content = b"".join(response)
    assert events(content)[0][0] == "top_markets"
