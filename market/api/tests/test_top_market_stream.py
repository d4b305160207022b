"""The stream of top markets: its events, its end, and its bound."""

from __future__ import annotations

import asyncio

import ccxt
import pytest
from django.core.asgi import get_asgi_application

from lab.waiting import patience
from market.api import event_streams, top_market_stream
from market.api.front import Front
from market.api.tests.asking import ask, items, refusal, scope
from market.api.tests.streaming import StreamedClient, events

STREAM = "/api/market/top_markets/stream"

pytestmark = pytest.mark.usefixtures("in_memory")


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


class Streamed(StreamedClient):
    """A client of the stream behind the middleware."""

    def __init__(self, query):
        self.chunks = asyncio.Queue()
        self.start = None
        super().__init__(Front(get_asgi_application()), scope(STREAM, query, "GET", {}))

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
    headers = {name.decode(): value.decode() for name, value in client.start["headers"]}
    assert headers["content-type"] == "text/event-stream"
    assert (headers["cache-control"], headers["x-accel-buffering"]) == ("no-cache", "no")
    through = await ask(get_asgi_application(), STREAM, query="market=spot&max_events=1")
    assert headers == through.headers


async def test_stream_ends_with_the_task_of_its_request(world):
    client = Streamed("market=spot&interval_s=0.2")
    async with asyncio.timeout(patience(10)):
        await client.chunks.get()
        client.task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await client.task
    assert top_market_stream.places.taken == 0


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


async def test_streams_that_look_together_share_one_event(world, monkeypatch):
    looks = []
    begin = top_market_stream.begin_ranking
    monkeypatch.setattr(
        top_market_stream,
        "begin_ranking",
        lambda asked, *, force: looks.append(asked) or begin(asked, force=force),
    )
    monkeypatch.setattr(top_market_stream, "SHARED_S", patience(60))
    bodies = []
    for _ in range(3):
        client = Streamed("market=spot&max_events=1")
        async with asyncio.timeout(patience(10)):
            await client.task
        bodies.append(client.chunks.get_nowait()["body"])
    other = Streamed("market=spot&max_events=1&limit=1")
    async with asyncio.timeout(patience(10)):
        await other.task
    assert len(looks) == 2 and len(set(bodies)) == 1
    assert len(events(other.chunks.get_nowait()["body"])[0][2]["items"]) == 1


async def test_stream_sends_errors_as_events(world):
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


@pytest.mark.parametrize(("named", "status"), [("okx", 400), ("kraken", 200)])
async def test_stream_is_of_an_exchange_that_is_served(world, switch, named, status):
    switch(ondemand_exchanges=named)
    client = Streamed("market=spot&exchange=kraken&max_events=1&interval_s=0.2")
    async with asyncio.timeout(patience(10)):
        await client.task
    assert client.start["status"] == status
    assert world.opened == ([("kraken", "spot")] if status == 200 else [])


def test_streams_are_bounded(api, world, monkeypatch):
    monkeypatch.setattr("market.api.top_market_stream.places", event_streams.StreamPlaces(0))
    response = api.get(STREAM, market="spot")
    assert refusal(response) == (503, "too_many_streams")


def test_stream_works_without_the_middleware(api, world):
    response = api.get(STREAM, market="spot", max_events=1)
    with pytest.warns(Warning, match="consume asynchronous iterators"):
        content = b"".join(response)
    assert events(content)[0][0] == "top_markets"
