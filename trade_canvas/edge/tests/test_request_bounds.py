"""The time that a body may take."""

from __future__ import annotations

import asyncio

import orjson

from lab.waiting import patience
from trade_canvas.edge.request_bounds import RequestBounds

SCOPE = {
    "type": "http",
    "method": "POST",
    "path": "/api/x",
    "query_string": b"",
    "headers": [(b"content-length", b"10")],
}


async def read_all(scope, receive, send):
    """As Django does: nothing is answered to a client that disconnected."""
    while (message := await receive())["type"] == "http.request":
        if not message.get("more_body"):
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b""})
            # Django waits for the disconnection from now on.
            await receive()
            return


async def ask(messages, *, timeout_s):
    sent = []

    async def receive():
        if messages:
            return messages.pop(0)
        # An endless body, or a client that stays after its own.
        await asyncio.sleep(2 * timeout_s)
        return {"type": "http.request", "more_body": True}

    async def send(message):
        sent.append(message)

    async with asyncio.timeout(patience()):
        await RequestBounds(read_all, body_timeout_s=timeout_s)(SCOPE, receive, send)
    return sent


async def test_body_that_never_ends_is_refused():
    start, body = await ask([], timeout_s=0.1)
    assert (start["status"], orjson.loads(body["body"])["code"]) == (408, "body_too_slow")
    assert (b"connection", b"close") in start["headers"]


async def test_time_after_the_body_does_not_count():
    whole = [{"type": "http.request", "body": b"", "more_body": False}]
    assert (await ask(whole, timeout_s=0.3))[0]["status"] == 200
