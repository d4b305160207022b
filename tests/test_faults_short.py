"""Parts die and come back under a watcher: nothing is lost, nothing comes twice.

Each test has servers of its own, so that it may stop and kill them. `make test` has two; the others
are drills too (kill-valkey, rolling-restart), and in short in test_several_buses.py and
test_ws_contract.py.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager

import pytest

from lab.http import get, post
from lab.installation import Installation
from lab.waiting import patience, wait_until
from tests.clients import Client, head_of
from tests.conftest import SWITCHES as SETTINGS

SERIES = "sim:futures:BTC/USDT:1s"
POSTED = "test:futures:BTC/USDT:1s"
SWITCHES = {
    "TRADE_CANVAS_ENABLE_WHITELIST_INGEST": "1",
    "TRADE_CANVAS_LEASE_TTL_S": "3",
    "TRADE_CANVAS_RECONCILE_INTERVAL_S": "0.5",
    "TRADE_CANVAS_HUB_CHECK_INTERVAL_S": "0.5",
}
RECOVERED_S = 30.0


@pytest.fixture
def ingesting(stack):
    """A stack with a local exchange and a whitelisted series; nothing runs on it yet."""
    stack.environment.update(SWITCHES)
    stack.local_exchange()
    stack.sql("INSERT INTO whitelist (series_id, enabled) VALUES (%s, true)", SERIES)
    return stack


async def until(condition, what):
    return await asyncio.to_thread(wait_until, condition, RECOVERED_S, what)


async def read_past(watcher, moment):
    """Read until a closed candle later than `moment` came."""
    async with asyncio.timeout(patience(RECOVERED_S)):
        while not (times := watcher.closed_times()) or times[-1] <= moment:
            await watcher.next()


def assert_each_once(watcher, since):
    times = watcher.closed_times()
    assert times == list(range(since + 1, times[-1] + 1))
    assert "gap" not in {message["type"] for message in watcher.messages}


async def assert_stored_as_on_the_exchange(client, stack):
    exchange = stack.exchange
    stored = await client.candles(SERIES, limit=5000)
    times = [candle["candle_time"] for candle in stored]
    assert times == list(range(times[0], times[-1] + 1))
    assert stored == exchange.truth(SERIES, times[0], times[-1])


async def test_another_worker_takes_over_from_a_killed_one(ingesting):
    web = ingesting.start_all()
    await until(lambda: head_of(web, SERIES), "a first candle")
    ingesting.worker()
    first = ingesting.workers[0]
    async with Client(web.url) as client:
        since = head_of(web, SERIES)
        watcher = await client.follow(SERIES, since)
        await read_past(watcher, since)
        first.kill()
        killed = int(time.time())
        await read_past(watcher, killed + 5)
        assert_each_once(watcher, since)
        await assert_stored_as_on_the_exchange(client, ingesting)


@pytest.mark.prove
async def test_bus_that_restarts_costs_no_candle(ingesting):
    web = ingesting.start_all()
    await until(lambda: head_of(web, SERIES), "a first candle")
    async with Client(web.url) as client:
        since = head_of(web, SERIES)
        watcher = await client.follow(SERIES, since)
        await read_past(watcher, since)
        ingesting.valkey.stop()
        # Candles are stored on, and found there.
        await read_past(watcher, int(time.time()) + 2)
        ingesting.valkey.start()
        await read_past(watcher, int(time.time()) + 2)
        assert_each_once(watcher, since)
        # Open candles come over the bus alone.
        await watcher.next_of("candle_forming")
        await assert_stored_as_on_the_exchange(client, ingesting)


@pytest.fixture
def own_stack(open_folder):
    """A stack on a PostgreSQL that may be restarted."""
    with Installation(open_folder, SETTINGS) as stack:
        stack.manage("migrate", "--verbosity", "0")
        yield stack


def post_candle(web, candle_time):
    """Whether the candle was acknowledged."""
    prices = {"open": 1, "high": 2, "low": 1, "close": 2, "volume": 1}
    body = {"series_id": POSTED, "candle": {"candle_time": candle_time, **prices}}
    return post(f"{web.url}/api/market/ingest/candle_closed", body)[0] == 200


async def test_database_that_restarts_keeps_what_was_acknowledged(own_stack):
    web = own_stack.web(TRADE_CANVAS_HUB_CHECK_INTERVAL_S="0.5")
    acknowledged = [moment for moment in range(1, 40) if post_candle(web, moment)]
    async with Client(web.url) as client:
        watcher = await client.follow(POSTED, 39)
        async with posting(web, 40) as acknowledged_meanwhile:
            await until(lambda: len(acknowledged_meanwhile) > 5, "candles to be taken")
            own_stack.postgres.kill()
            own_stack.postgres.start()
            before = len(acknowledged_meanwhile)
            await until(lambda: len(acknowledged_meanwhile) > before + 5, "candles to be taken")
        acknowledged += acknowledged_meanwhile
        await read_past(watcher, acknowledged[-1] - 1)
        assert_each_once(watcher, 39)
        stored = [each["candle_time"] for each in await client.candles(POSTED, limit=5000)]
        assert set(acknowledged) <= set(stored)
        assert stored == list(range(1, acknowledged[-1] + 1))


@asynccontextmanager
async def posting(web, first):
    """Post one candle after another, each until it is acknowledged."""
    acknowledged = []
    ended = asyncio.Event()

    async def post_on():
        while not ended.is_set():
            moment = acknowledged[-1] + 1 if acknowledged else first
            if await asyncio.to_thread(post_candle, web, moment):
                acknowledged.append(moment)

    task = asyncio.create_task(post_on())
    try:
        yield acknowledged
    finally:
        ended.set()
        await task


@pytest.mark.prove
async def test_watchers_of_a_stopping_instance_go_on_with_another(stack):
    first = stack.web(wait=False, TRADE_CANVAS_SHUTDOWN_DELAY_S="1")
    second = stack.web(wait=False)
    first.wait_ready()
    second.wait_ready()
    assert post_candle(second, 100)
    async with Client(first.url) as client, Client(second.url) as other, posting(second, 101):
        watchers = [await client.follow(POSTED, 100) for _ in range(20)]
        for watcher in watchers:
            await read_past(watcher, 105)
        stopping = asyncio.create_task(asyncio.to_thread(first.terminate))
        # A load balancer is to notice while everything is still served.
        await until(lambda: get(f"{first.url}/readyz")[0] == 503, "it to be unready")
        assert await asyncio.to_thread(head_of, first, POSTED) >= 105
        closed = await asyncio.gather(*(watcher.ending() for watcher in watchers))
        assert set(closed) == {(1001, "server_shutdown")}
        assert await stopping == 0
        for watcher in watchers:
            seen = watcher.closed_times()
            resumed = await other.follow(POSTED, seen[-1])
            await read_past(resumed, seen[-1] + 10)
            assert_each_once(watcher, 100)
            assert_each_once(resumed, seen[-1])
