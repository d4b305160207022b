"""Which origins may connect to `/ws/market`, and how many connections an address may have."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import orjson
import pytest

from lab.waiting import patience
from trade_canvas.edge.websocket_admission import WebSocketAdmission

OWN = "http://localhost:8000"


@pytest.fixture
def switch(settings):
    def change(**values):
        settings.SWITCHES = replace(settings.SWITCHES, **values)

    return change


class Inside:
    """An application whose connections last until they are ended."""

    def __init__(self):
        self.served = 0
        self.ended = asyncio.Event()

    async def __call__(self, scope, receive, send):
        self.served += 1
        await self.ended.wait()


class Visitor:
    """One attempt to connect, and what was sent to it."""

    def __init__(self, admission, *, origin=None, address="203.0.113.7", has_extension=True):
        self.sent = []
        headers = [(b"host", b"localhost:8000")]
        if origin is not None:
            headers.append((b"origin", origin.encode()))
        extensions = {"websocket.http.response": {}} if has_extension else {}
        scope = {"type": "websocket", "headers": headers, "extensions": extensions}
        scope["client"] = (address, 1)
        self.task = asyncio.create_task(admission(scope, self.receive, self.send))

    async def receive(self):
        return {"type": "websocket.connect"}

    async def send(self, message):
        self.sent.append(message)

    async def refusal(self):
        async with asyncio.timeout(patience(5)):
            await self.task
        start, body = self.sent
        return start["status"], orjson.loads(body["body"])["code"]


@pytest.fixture
def inside():
    return Inside()


@pytest.fixture
def admission(inside):
    return WebSocketAdmission(inside)


async def entered(inside, count):
    for _ in range(100):
        await asyncio.sleep(0)
    return inside.served == count


@pytest.mark.parametrize("origin", [None, OWN, "http://localhost:5173"])
async def test_own_page_and_program_are_admitted(admission, inside, origin):
    visitor = Visitor(admission, origin=origin)
    assert await entered(inside, 1)
    inside.ended.set()
    await visitor.task
    assert visitor.sent == []


@pytest.mark.parametrize("origin", ["https://evil.example", "null"])
async def test_page_of_another_origin_is_refused(admission, inside, origin):
    assert await Visitor(admission, origin=origin).refusal() == (403, "origin_not_allowed")
    assert inside.served == 0


async def test_server_without_the_extension_closes_with_1008(admission):
    visitor = Visitor(admission, origin="null", has_extension=False)
    await visitor.task
    [close] = visitor.sent
    assert (close["type"], close["code"]) == ("websocket.close", 1008)


async def test_switch_admits_every_origin(admission, inside, switch):
    switch(enable_ws_any_origin=True)
    visitor = Visitor(admission, origin="https://evil.example")
    assert await entered(inside, 1)
    inside.ended.set()
    await visitor.task


async def test_connections_of_an_address_are_limited(admission, inside, switch):
    switch(ws_max_connections_per_address=2)
    first = [Visitor(admission), Visitor(admission)]
    assert await entered(inside, 2)
    third = Visitor(admission)
    assert await third.refusal() == (429, "too_many_connections")
    assert (b"retry-after", b"30") in third.sent[0]["headers"]
    other = Visitor(admission, address="198.51.100.1")
    assert await entered(inside, 3)
    inside.ended.set()
    await asyncio.gather(other.task, *(each.task for each in first))


async def test_ended_connections_are_not_counted(admission, inside, switch):
    switch(ws_max_connections_per_address=2)
    visitors = [Visitor(admission, address=f"203.0.113.{number}") for number in range(50)]
    assert await entered(inside, 50)
    inside.ended.set()
    visitors[0].task.cancel()
    await asyncio.gather(*(each.task for each in visitors), return_exceptions=True)
    assert not admission.connections
