"""Further attempts, other servers, limits, and errors by their kind."""

from __future__ import annotations

import asyncio
import socket

import pytest

from trade_canvas_client import (
    AsyncClient,
    Client,
    Conflict,
    ConnectionFailed,
    NotFound,
    RateLimited,
    Retry,
    Unavailable,
    UnexpectedAnswer,
    transport,
)
from trade_canvas_client.tests.scripted_server import SERIES, ScriptedServer
from trade_canvas_client.wire import Answer

QUICK = Retry(attempts=3, first_s=0.01, most_s=0.02)
BUSY = (503, {}, {"detail": "later", "code": "server_busy"})
BEHIND = (409, {}, {"detail": "ledger_out_of_sync:factor", "code": "x.ledger_out_of_sync"})


@pytest.fixture
async def server():
    async with ScriptedServer().running() as started:
        started.put(60, 120, 180)
        yield started


@pytest.fixture(params=["async", "sync"])
def newest(request, server):
    """Read the newest candle by either client; of `servers` if given."""

    async def read(servers=None, **options):
        options = {"retry": QUICK, "trust_env": False} | options
        if request.param == "async":
            async with AsyncClient(servers or server.url, **options) as client:
                return (await client.candles(SERIES, newest=1)).rows()[0].candle_time
        with Client(servers or server.url, **options) as client:
            found = await asyncio.to_thread(client.candles, SERIES, newest=1)
            return found.rows()[0].candle_time

    return read


@pytest.mark.parametrize(
    "refusal", [BUSY, BEHIND, (429, {"Retry-After": "0"}, {}), (502, {}, None)]
)
async def test_what_may_pass_is_tried_again(server, newest, refusal):
    server.refusals = [refusal] * 2
    assert await newest() == 180
    server.refusals = [refusal] * 3
    with pytest.raises((Unavailable, Conflict, RateLimited)):
        await newest()
    assert server.refusals == []


async def test_what_stays_is_raised_at_once(server, newest):
    server.refusals = [(404, {}, {"detail": "Not Found", "code": "not_found"}), BUSY]
    with pytest.raises(NotFound) as found:
        await newest()
    assert (found.value.code, found.value.detail) == ("not_found", "Not Found")
    assert server.refusals == [BUSY]


async def test_a_pause_that_is_too_long_is_left_to_the_caller(server, newest):
    server.refusals = [(429, {"Retry-After": "3600"}, {"code": "rate_limited"})]
    with pytest.raises(RateLimited) as limited:
        await newest()
    assert (limited.value.code, limited.value.retry_after_s) == ("rate_limited", 3600.0)


def test_a_pause_that_is_asked_for_is_kept():
    busy = Answer(429, {"retry-after": "7"}, b"")
    assert Retry().pause(1, busy) == 7.0
    assert Retry().pause(5, busy) is None
    pauses = [Retry(attempts=50).pause(attempt) for attempt in range(1, 12)]
    assert all(0.25 <= pause <= 10 for pause in pauses) and pauses[-1] >= 5


async def test_another_server_is_asked_when_one_is_away(server, newest):
    assert await newest(["http://127.0.0.1:9", server.url]) == 180
    with pytest.raises(ConnectionFailed):
        await newest("http://127.0.0.1:9")


async def test_a_server_that_does_not_answer_is_given_up(newest):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(ConnectionFailed):
            await newest(address, timeout_s=0.05)


async def test_answers_are_bounded(newest, monkeypatch):
    monkeypatch.setattr(transport, "MOST_BYTES", 100)
    with pytest.raises(UnexpectedAnswer, match="longer than 100 bytes"):
        await newest()


@pytest.mark.parametrize("answer", [(200, {}, []), (200, {}, {}), (302, {}, {}), (200, {}, None)])
async def test_what_is_no_server_of_ours_is_named(server, newest, answer):
    server.refusals = [answer]
    with pytest.raises(UnexpectedAnswer):
        await newest()


@pytest.mark.parametrize("server", ["", "127.0.0.1:8000", []])
def test_addresses_are_checked(server):
    with pytest.raises(ValueError):
        Client(server)
