"""Catch-ups over the socket take from the processor time of their client's address."""

from __future__ import annotations

import asyncio
import dataclasses
import json

import pytest

from lab.waiting import eventually
from market import blocking, runtime
from market.costs import cost_budget
from market.live.consumer import serve_watcher
from market.live.current import shut_down
from market.networks import network_of
from market.tests.builders import MINUTE, candle, candles

ADDRESS = "203.0.113.7"
CANDLES = 5000
# Full catch-ups that the budget of these tests is too small for, on any machine.
MANY = 100


@pytest.fixture
def serving(settings):
    """A process in memory with candles; it is called with the budget of each address."""
    settings.CHANNEL_LAYERS = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}

    def start(ms_per_s):
        settings.SWITCHES = dataclasses.replace(
            settings.SWITCHES,
            enable_pg_store=False,
            enable_ws_pubsub=False,
            enable_ondemand_ingest=False,
            api_cost_ms_per_s=ms_per_s,
        )
        times = range(60, 60 * (CANDLES + 1), 60)
        blocking.call(runtime.pipeline().ingest, MINUTE, candles(*times))

    return start


class Socket:
    """A client of `serve_watcher`, whose answers come in `messages`."""

    def __init__(self, address):
        self._incoming = asyncio.Queue()
        self._incoming.put_nowait({"type": "websocket.connect"})
        self.messages = []
        scope = {"type": "websocket", "client": (address, 1)}
        self._task = asyncio.create_task(serve_watcher(scope, self._incoming.get, self._send))

    async def _send(self, message):
        if message["type"] == "websocket.send":
            self.messages.append(json.loads(message["text"]))

    async def ask(self, since):
        """Subscribe, and return the type of the first answer."""
        self.messages.clear()
        asked = {"type": "subscribe", "series_id": str(MINUTE), "since": since}
        text = json.dumps({**asked, "supports_batch": True})
        self._incoming.put_nowait({"type": "websocket.receive", "text": text})
        await eventually(lambda: self.messages)
        return self.messages[0]["type"]

    async def leave(self):
        self._incoming.put_nowait({"type": "websocket.disconnect", "code": 1000})
        await self._task


async def asked_often(socket, since, times):
    """The answers to so many subscribes, up to the first that is refused."""
    found = []
    while len(found) < times and "error" not in found:
        found.append(await socket.ask(since))
    return found


async def test_catch_ups_beyond_the_budget_are_refused(serving):
    serving(1)
    socket = Socket(ADDRESS)
    found = await asked_often(socket, 0, MANY)
    assert found[0] == "candles_batch" and found[-1] == "error"
    refused = socket.messages[0]
    assert (refused["code"], refused["series_id"]) == ("rate_limited", str(MINUTE))
    # The subscription that there was goes on.
    after = candle(60 * (CANDLES + 1))
    await asyncio.to_thread(blocking.call, runtime.pipeline().ingest, MINUTE, [after])
    await eventually(lambda: socket.messages[-1]["type"] == "candle_closed")
    await socket.leave()
    await shut_down()


async def test_small_catch_ups_are_many(serving):
    serving(100)
    socket = Socket(ADDRESS)
    last_but_one = 60 * (CANDLES - 1)
    assert "error" not in await asked_often(socket, last_but_one, MANY)
    await socket.leave()
    await shut_down()


async def test_requests_and_connections_of_an_address_share_its_budget(serving):
    serving(1)
    sockets = [Socket(ADDRESS), Socket(ADDRESS), Socket("203.0.113.8")]
    # As requests over HTTP do.
    with cost_budget().charged(network_of(ADDRESS)) as cost:
        cost.ms += 1000
    found = [await socket.ask(0) for socket in sockets]
    assert found == ["error", "error", "candles_batch"]
    await asyncio.gather(*(socket.leave() for socket in sockets))
    await shut_down()


async def test_without_a_budget_nothing_is_refused(serving):
    serving(0)
    socket = Socket(ADDRESS)
    assert await asked_often(socket, 0, 5) == ["candles_batch"] * 5
    await socket.leave()
    await shut_down()
