"""What strangers can make a process hold in memory, measured on real processes."""

from __future__ import annotations

import asyncio
from urllib.parse import quote, urlsplit

import pytest

from lab.http import get, post
from lab.waiting import eventually, patience, wait_until

SERIES = "binance:futures:BTC/USDT:1m"
FIRST = 1_600_000_020
STORED = 6_000
ROWS = 5_000
MAY_GROW = 100 * 2**20
QUERIES = 5_000
CONNECTIONS = 300
# About what a body of ROWS candles has at least.
BODY = 400_000
WEB = {
    "TRADE_CANVAS_ENABLE_FACTOR_INGEST": "0",
    "TRADE_CANVAS_ENABLE_OVERLAY_INGEST": "0",
}


@pytest.fixture(scope="module")
def web(session_stack):
    """A web process that has stored candles and answered once."""
    started = session_stack.web(**WEB)
    candles = [
        {"candle_time": FIRST + 60 * n, "open": 64210.5, "high": 64400.25 + n % 97}
        | {"low": 64100.75, "close": 64300.5, "volume": n / 7}
        for n in range(STORED)
    ]
    body = {"series_id": SERIES, "candles": candles}
    assert post(f"{started.url}/api/dev/market/ingest/candles_closed_batch", body, 60)[0] == 200
    assert get(started.url + page(0))[0] == 200
    yield started
    started.terminate()


@pytest.fixture(scope="module")
def most_bytes(web):
    """What the process may hold after anything below."""
    return web.memory() + MAY_GROW


def page(number):
    """The address of a page that no other number has, with a parameter that nothing knows."""
    since = FIRST - 1 + number % 900
    query = f"series_id={quote(SERIES)}&since={since}&limit={ROWS - number // 900}&x{number}=1"
    return f"/api/market/candles?{query}"


async def request(web, number):
    address = urlsplit(web.url)
    # Asks for no compression: the body is as large as it gets.
    head = f"GET {page(number)} HTTP/1.1\r\nHost: {address.netloc}\r\n\r\n"
    reader, writer = await asyncio.open_connection(address.hostname, address.port, limit=2**16)
    writer.write(head.encode())
    return reader, writer


async def read(web, number):
    reader, writer = await request(web, number)
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0])
    body = await reader.readexactly(length)
    writer.close()
    return head.split()[1], len(body)


async def read_all(web, numbers, *, at_once):
    places = asyncio.Semaphore(at_once)

    async def read_in_turn(number):
        async with places:
            return await read(web, number)

    return await asyncio.gather(*(read_in_turn(number) for number in numbers))


# Of fewer answers so little would stay that it is within the bound.
@pytest.mark.prove
async def test_answers_to_different_queries_do_not_stay(web, most_bytes):
    answers = await read_all(web, range(QUERIES), at_once=16)
    assert all(status == b"200" and size > BODY for status, size in answers)
    assert web.memory() < most_bytes


async def test_answers_to_many_clients_at_once_have_a_bound(web, most_bytes):
    asked = asyncio.create_task(read_all(web, range(CONNECTIONS), at_once=CONNECTIONS))
    most = 0
    while not asked.done():
        most = max(most, web.memory())
        await asyncio.wait([asked], timeout=0.05)
    assert all(status == b"200" and size > BODY for status, size in await asked)
    assert most < most_bytes


async def test_clients_that_do_not_read_are_disconnected_before_they_fill_the_memory(
    web, most_bytes
):
    stalled = [await request(web, number) for number in range(CONNECTIONS)]
    for reader, _ in stalled:
        reader._transport.pause_reading()
    # An honest client is answered while all of them wait.
    async with asyncio.timeout(patience(20)):
        assert (await read(web, CONNECTIONS))[0] == b"200"
    await eventually(lambda: get(f"{web.url}/healthz")[0] == 200)
    assert web.memory() < most_bytes
    for _, writer in stalled:
        writer.transport.abort()


FLOODED, OTHER = "sim:spot:BTC/USDT:1s", "sim:futures:BTC/USDT:1s"
WORKER_MOST = 512 * 2**20


def test_answer_of_an_exchange_does_not_fill_a_worker(stack):
    stack.environment |= {
        "TRADE_CANVAS_ENABLE_WHITELIST_INGEST": "1",
        "TRADE_CANVAS_RECONCILE_INTERVAL_S": "0.5",
    }
    exchange = stack.local_exchange()
    stack.whitelist([FLOODED, OTHER])
    worker = stack.worker(wait=False)
    stack.beat(wait=False)
    wait_until(lambda: set(stack.heads()) == {FLOODED, OTHER}, 30, "two series to be followed")
    most = 0

    def is_ahead_of(heads, *series):
        nonlocal most
        most = max(most, worker.memory())
        now = stack.heads()
        return all(now[each] > heads[each] + 3 for each in series)

    # Whatever it reads again after the cut is answered with 300 MB.
    exchange.fault("flood", scope={"market": "spot"}, megabytes=300, duration_s=600)
    exchange.fault("drop_connections", scope={"market": "spot"})
    cut = stack.heads()
    wait_until(lambda: "more than 32 MiB" in worker.output(), 20, "an answer to be refused")
    before = stack.heads()
    wait_until(lambda: is_ahead_of(before, OTHER), 20, "the other group to go on")
    exchange.clear()
    wait_until(lambda: is_ahead_of(cut, FLOODED, OTHER), 60, "both groups to catch up")
    assert most < WORKER_MOST
    newest = stack.heads()[FLOODED]
    stored = [row["candle_time"] for row in stack.stored(FLOODED, cut[FLOODED], newest)]
    assert stored == list(range(cut[FLOODED], newest + 1))
