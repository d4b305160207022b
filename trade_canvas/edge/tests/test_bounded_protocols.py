"""Clients that keep a connection of uvicorn busy with bytes that are no request."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import pytest
import uvicorn

from lab.waiting import patience
from trade_canvas.edge import bounded_protocols
from trade_canvas.edge.bounded_protocols import BoundedHttp

GET = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n"


@pytest.fixture(autouse=True)
def short(monkeypatch):
    for name in ("HEAD_TIMEOUT_S", "STALL_TIMEOUT_S", "LINGER_S"):
        monkeypatch.setattr(bounded_protocols, name, 0.2)


async def refuse(scope, receive, send):
    """Answers without a look at the body."""
    headers = [(b"content-length", b"2")]
    await send({"type": "http.response.start", "status": 401, "headers": headers})
    await send({"type": "http.response.body", "body": b"no"})


@asynccontextmanager
async def connected_to(application):
    config = uvicorn.Config(application, port=0, http=BoundedHttp, lifespan="off", log_config=None)
    server = uvicorn.Server(config)
    config.load()
    server.lifespan = config.lifespan_class(config)
    await server.startup()
    host, port = server.servers[0].sockets[0].getsockname()[:2]
    reader, writer = await asyncio.open_connection(host, port)
    try:
        yield reader, writer
    finally:
        writer.close()
        server.force_exit = True
        await server.shutdown()


async def answer(reader):
    head = await reader.readuntil(b"\r\n\r\n")
    await reader.readexactly(2)
    return head.split()[1]


async def send_until_closed(writer, reader, data):
    """Send again and again, until the server closes; a limit ends the test otherwise."""
    async with asyncio.timeout(patience()):
        while not reader.at_eof():
            writer.write(data)
            await asyncio.sleep(0.02)
            if writer.transport.is_closing():
                return


async def test_client_that_still_sends_its_body_gets_the_answer_and_may_go_on():
    async with connected_to(refuse) as (reader, writer):
        writer.write(POST + bytes(1000))
        assert await answer(reader) == b"401"
        writer.write(bytes(1_000_000 - 1000) + GET)
        assert await answer(reader) == b"401"


async def test_endless_rest_of_a_body_ends_the_connection():
    async with connected_to(refuse) as (reader, writer):
        writer.write(POST)
        assert await answer(reader) == b"401"
        await send_until_closed(writer, reader, b"x")


async def test_empty_lines_do_not_keep_a_connection():
    async with connected_to(refuse) as (reader, writer):
        writer.write(GET)
        assert await answer(reader) == b"401"
        await send_until_closed(writer, reader, b"\r\n")


async def test_client_that_reads_nothing_is_disconnected():
    is_over = asyncio.Event()

    async def flood(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(64):
            await send({"type": "http.response.body", "body": bytes(2**20), "more_body": True})
        is_over.set()
        await send({"type": "http.response.body", "body": b""})

    async with connected_to(flood) as (reader, writer):
        reader._transport.pause_reading()
        writer.write(GET)
        async with asyncio.timeout(patience()):
            await is_over.wait()
