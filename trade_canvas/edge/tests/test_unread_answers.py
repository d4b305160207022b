"""Large answers under way: counted, held back, and taken from the slowest client."""

from __future__ import annotations

import asyncio

import pytest

from lab.waiting import eventually, patience
from market.api.asgi import CONNECTION
from trade_canvas.edge import unread_answers
from trade_canvas.edge.unread_answers import SMALL_BYTES, Connection, UnreadAnswers

SIZE = 2 * SMALL_BYTES


class Client:
    """A connection whose client reads when it is told to."""

    def __init__(self):
        self.read = asyncio.Event()
        self.started = asyncio.Event()
        self.is_aborted = False

    def abort(self):
        self.is_aborted = True
        self.read.set()

    async def ask(self, application):
        connection = Connection(self.read.wait, self.abort)

        async def send(message):
            self.started.set()

        await application({"type": "http", "state": {CONNECTION: connection}}, None, send)


def answer_of(size):
    async def application(scope, receive, send):
        headers = [(b"content-length", str(size).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"x" * size})

    return application


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(unread_answers, "PATIENCE_S", 0.0)
    monkeypatch.setattr(unread_answers, "LOOK_S", 0.01)


async def test_large_answer_counts_until_it_is_read():
    bound = UnreadAnswers(answer_of(SIZE))
    client = Client()
    asked = asyncio.create_task(client.ask(bound))
    await eventually(lambda: bound.bytes == SIZE)
    client.read.set()
    await asked
    assert bound.bytes == 0


async def test_small_answer_is_not_waited_for():
    async with asyncio.timeout(patience()):
        await Client().ask(UnreadAnswers(answer_of(SMALL_BYTES)))


async def test_answer_waits_while_there_is_no_room():
    bound = UnreadAnswers(answer_of(SIZE), most_bytes=SIZE - 1)
    first, second = Client(), Client()
    asked = [asyncio.create_task(client.ask(bound)) for client in (first, second)]
    await first.started.wait()
    assert not second.started.is_set()
    first.read.set()
    await second.started.wait()
    assert not first.is_aborted
    second.read.set()
    await asyncio.gather(*asked)


@pytest.mark.usefixtures("impatient")
async def test_slowest_client_makes_room():
    bound = UnreadAnswers(answer_of(SIZE), most_bytes=2 * SIZE - 1)
    clients = [Client() for _ in range(3)]
    asked = []
    for client in clients[:2]:
        asked.append(asyncio.create_task(client.ask(bound)))
        await client.started.wait()
    asked.append(asyncio.create_task(clients[2].ask(bound)))
    await clients[2].started.wait()
    assert [client.is_aborted for client in clients] == [True, False, False]
    for client in clients:
        client.read.set()
    await asyncio.gather(*asked)
    assert bound.bytes == 0


async def test_client_that_goes_while_it_waits_leaves_nothing():
    bound = UnreadAnswers(answer_of(SIZE), most_bytes=SIZE - 1)
    first, second = Client(), Client()
    asked = [asyncio.create_task(client.ask(bound)) for client in (first, second)]
    await first.started.wait()
    asked[1].cancel()
    first.read.set()
    await asyncio.gather(*asked, return_exceptions=True)
    assert bound.bytes == 0
