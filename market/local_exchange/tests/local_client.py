"""What the tests of the local exchange use to talk to it: plain HTTP and plain sockets."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import aiohttp

from lab.waiting import patience

TIMEOUT_S = 8.0


async def ask(url, path, *, method="GET", body=None, **query):
    """(status, headers, body, decoded if it is JSON) of one request."""
    timeout = aiohttp.ClientTimeout(total=patience(TIMEOUT_S))
    async with (
        aiohttp.ClientSession(timeout=timeout) as session,
        session.request(method, url + path, params=query, json=body) as response,
    ):
        is_json = response.content_type == "application/json"
        content = await (response.json() if is_json else response.text())
        return response.status, response.headers, content


async def read(url, path, **query):
    """The body of a request that must succeed."""
    status, _, body = await ask(url, path, **query)
    assert status == 200, body
    return body


@asynccontextmanager
async def connected(url, path, **options):
    """A stream socket."""
    closing = aiohttp.ClientWSTimeout(ws_close=TIMEOUT_S)
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(url + path, timeout=closing, **options) as socket,
    ):
        yield socket


async def request(socket, method, *params, number=1):
    """Send a stream request and wait for what it is answered."""
    await socket.send_json({"method": method, "params": list(params), "id": number})
    while True:
        message = await socket.receive_json(timeout=patience(TIMEOUT_S))
        if "id" in message:
            return message


async def klines(socket, count, *, closed=None):
    """The next `count` kline events: all of them, or only the final or the open ones."""
    found = []
    async with asyncio.timeout(patience(TIMEOUT_S)):
        while len(found) < count:
            event = await socket.receive_json()
            event = event.get("data", event)
            if event.get("e") == "kline" and closed in (None, event["k"]["x"]):
                found.append(event["k"])
    return found


async def finals(socket, count):
    """The next `count` final messages of candles."""
    return await klines(socket, count, closed=True)


def values(kline):
    """Open, high, low, close, volume of a kline event as the REST rows spell them."""
    return [kline[name] for name in "ohlcv"]


async def until(url, condition):
    """Wait until the exchange's state meets `condition`; closing sockets takes it a moment."""
    async with asyncio.timeout(patience(TIMEOUT_S)):
        state = await read(url, "/control/state")
        while not condition(state):
            state = await read(url, "/control/state")
