"""Bodies of requests: not read before the client is known to be allowed to write."""

from __future__ import annotations

import asyncio
from urllib.parse import urlsplit

import orjson
import pytest

from lab.waiting import patience

TOKEN = "t" * 32
CLOSED = "/api/market/ingest/candle_closed"
BATCH = "/api/dev/market/ingest/candles_closed_batch"


@pytest.fixture(scope="module", params=["uvicorn", "daphne"])
def web(request, session_stack):
    started = session_stack.web(server=request.param, TRADE_CANVAS_INGEST_TOKEN=TOKEN)
    started.reads_bodies_itself = request.param == "daphne"
    yield started
    started.terminate()


async def ask(web, path, *headers, body=b"", claims=None):
    """Status and code of the answer to a request that claims a body of so many bytes."""
    address = urlsplit(web.url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    lines = [
        f"POST {path} HTTP/1.1",
        f"Host: {address.netloc}",
        "Content-Type: application/json",
        f"Content-Length: {len(body) if claims is None else claims}",
        *headers,
    ]
    writer.write("\r\n".join([*lines, "", ""]).encode() + body)
    async with asyncio.timeout(patience()):
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0])
        answer = orjson.loads(await reader.readexactly(length))
    writer.close()
    return int(head.split()[1]), answer["code"]


@pytest.mark.parametrize("path", [CLOSED, BATCH])
@pytest.mark.parametrize(
    ("header", "code"),
    [
        ("Authorization: Bearer wrong", "invalid_token"),
        ("Cookie: sessionid=made-up", "not_authenticated"),
        ("X-Nothing: 1", "not_authenticated"),
    ],
)
async def test_stranger_is_refused_before_the_body_is_there(web, path, header, code):
    # Daphne reads every body before it calls an application.
    claims = 0 if web.reads_bodies_itself else 900_000
    assert await ask(web, path, header, claims=claims, body=b"") == (401, code)


async def test_writer_is_told_what_is_wrong_with_the_body(web):
    for path in (CLOSED, BATCH):
        answer = await ask(web, path, f"Authorization: Bearer {TOKEN}", body=b"{}")
        assert answer == (422, "validation_error")
