"""Draining: what is still served, what is refused, and what is cut off."""

from __future__ import annotations

import asyncio

import pytest

from trade_canvas.edge.drain import Drain, DrainGate, Step

ANY = {"type": "http", "path": "/", "headers": []}
STREAM = {"type": "http", "path": "/", "headers": [(b"accept", b"text/event-stream")]}
SOCKET = {"type": "websocket", "path": "/ws/market", "headers": []}


class Server:
    """An ASGI server that rejects a second start of a response, as uvicorn does."""

    def __init__(self):
        self.sent = []

    async def send(self, message):
        begun = any(each["type"] == "http.response.start" for each in self.sent)
        if message["type"] == "http.response.start" and begun:
            raise RuntimeError("begun already")
        self.sent.append(message)

    @property
    def status(self):
        return self.sent[0]["status"]

    @property
    def body(self):
        return b"".join(each.get("body", b"") for each in self.sent)


class Application:
    """Begins its response at once or late, and ends it when `may_end` is set."""

    def __init__(self, *, begins=False):
        self.begins = begins
        self.begun = asyncio.Event()
        self.may_end = asyncio.Event()

    async def __call__(self, scope, receive, send):
        if self.begins:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"some", "more_body": True})
        self.begun.set()
        await self.may_end.wait()
        if not self.begins:
            await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"all"})


@pytest.fixture
def drain():
    return Drain()


@pytest.fixture
def server():
    return Server()


async def in_flight(application, drain, server, scope=ANY):
    """Start a request; return its task once the application has it."""
    guard = DrainGate(application, drain=drain)
    task = asyncio.create_task(guard(scope, None, server.send))
    await application.begun.wait()
    return task


async def test_process_that_is_not_ready_still_serves(drain, server):
    application = Application()
    drain.begin()
    task = await in_flight(application, drain, server)
    assert drain.requests == 1
    application.may_end.set()
    await task
    assert (server.status, server.body) == (200, b"all")
    assert drain.requests == 0


async def test_closed_process_refuses_new_requests(drain, server):
    drain.close()
    await DrainGate(Application(), drain=drain)(ANY, None, server.send)
    assert server.status == 503
    assert server.body == b'{"detail":"server_shutting_down","code":"server_shutting_down"}'
    assert (b"connection", b"close") in server.sent[0]["headers"]


async def test_closed_process_closes_new_sockets_with_1001(drain, server):
    drain.close()
    await DrainGate(Application(), drain=drain)(SOCKET, None, server.send)
    assert server.sent == [{"type": "websocket.close", "code": 1001, "reason": "server_shutdown"}]


async def test_request_in_flight_may_finish_after_the_close(drain, server):
    application = Application()
    task = await in_flight(application, drain, server)
    drain.close()
    application.may_end.set()
    await task
    assert (server.status, server.body) == (200, b"all")


async def test_request_that_takes_too_long_gets_503(drain, server):
    task = await in_flight(Application(), drain, server)
    drain.close()
    await drain.finish_requests(0)
    await task
    assert server.status == 503
    assert b"server_shutting_down" in server.body


async def test_response_that_has_begun_is_only_ended(drain, server):
    task = await in_flight(Application(begins=True), drain, server)
    drain.close()
    await drain.finish_requests(0)
    await task
    assert (server.status, server.body) == (200, b"some")
    assert server.sent[-1]["more_body"] is False


async def test_event_stream_ends_with_the_close(drain, server):
    task = await in_flight(Application(begins=True), drain, server, STREAM)
    drain.close()
    await task
    assert server.sent[-1]["more_body"] is False


async def test_socket_is_left_to_the_hub(drain, server):
    task = await in_flight(Application(begins=True), drain, server, SOCKET)
    drain.close()
    await drain.finish_requests(0)
    await asyncio.sleep(0)
    assert not task.done()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def test_drain_never_goes_back(drain):
    drain.close()
    drain.begin()
    assert drain.step is Step.CLOSED


def test_readyz_fails_once_the_drain_begins(client, monkeypatch, drain):
    drain.begin()
    monkeypatch.setattr("trade_canvas.views.DRAIN", drain)
    answer = client.get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["status"] == "leaving"
    assert client.get("/healthz").status_code == 200
