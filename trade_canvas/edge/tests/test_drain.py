from __future__ import annotations

import asyncio

import pytest

from trade_canvas.edge.drain import Ending, EndingGuard, Step

ANY = {"type": "http", "path": "/", "headers": []}
STREAM = {"type": "http", "path": "/", "headers": [(b"accept", b"text/event-stream")]}
SOCKET = {"type": "websocket", "path": "/ws/market", "headers": []}


class Server:
    """Plays the ASGI server: lets no answer begin twice, as uvicorn does."""

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
    """Begins its answer when told to, and then waits until told to end it."""

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
def ending():
    return Ending()


@pytest.fixture
def server():
    return Server()


async def under_way(application, ending, server, scope=ANY):
    """Begin a request, and return its task once the application works on it."""
    guard = EndingGuard(application, ending=ending)
    task = asyncio.create_task(guard(scope, None, server.send))
    await application.begun.wait()
    return task


async def test_leaving_process_serves_on(ending, server):
    application = Application()
    ending.leave()
    task = await under_way(application, ending, server)
    assert ending.requests == 1
    application.may_end.set()
    await task
    assert (server.status, server.body) == (200, b"all")
    assert ending.requests == 0


async def test_closed_process_refuses_what_is_new(ending, server):
    ending.close()
    await EndingGuard(Application(), ending=ending)(ANY, None, server.send)
    assert server.status == 503
    assert server.body == b'{"detail":"server_shutting_down","code":"server_shutting_down"}'
    assert (b"connection", b"close") in server.sent[0]["headers"]


async def test_closed_process_sends_new_watchers_elsewhere(ending, server):
    ending.close()
    await EndingGuard(Application(), ending=ending)(SOCKET, None, server.send)
    assert server.sent == [{"type": "websocket.close", "code": 1001, "reason": "server_shutdown"}]


async def test_request_under_way_may_finish_after_the_close(ending, server):
    application = Application()
    task = await under_way(application, ending, server)
    ending.close()
    application.may_end.set()
    await task
    assert (server.status, server.body) == (200, b"all")


async def test_request_that_takes_too_long_is_told_why(ending, server):
    task = await under_way(Application(), ending, server)
    ending.close()
    ending.break_off()
    await task
    assert server.status == 503
    assert b"server_shutting_down" in server.body


async def test_answer_that_has_begun_is_ended_where_it_is(ending, server):
    task = await under_way(Application(begins=True), ending, server)
    ending.close()
    ending.break_off()
    await task
    assert (server.status, server.body) == (200, b"some")
    assert server.sent[-1]["more_body"] is False


async def test_stream_ends_with_the_close(ending, server):
    task = await under_way(Application(begins=True), ending, server, STREAM)
    ending.close()
    await task
    assert server.sent[-1]["more_body"] is False


async def test_watcher_is_left_to_its_hub(ending, server):
    task = await under_way(Application(begins=True), ending, server, SOCKET)
    ending.close()
    ending.break_off()
    await asyncio.sleep(0)
    assert not task.done()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def test_steps_lead_one_way(ending):
    ending.close()
    ending.leave()
    assert ending.step is Step.CLOSED


def test_readyz_tells_that_the_process_leaves(client, monkeypatch, ending):
    ending.leave()
    monkeypatch.setattr("trade_canvas.views.ENDING", ending)
    answer = client.get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["status"] == "leaving"
    assert client.get("/healthz").status_code == 200
