"""Candles from the exchange to the watcher through real processes, also when it misbehaves.

All tests share one stack (web, worker, beat, local exchange) and keep to series of their own.
"""

from __future__ import annotations

import asyncio
import time

import pytest

from tests.clients import Client
from tests.exchange import Exchange
from tests.processes import Stack, get, wait_until

PINNED = "sim:futures:BTC/USDT:1s"
SWITCHES = {
    "TRADE_CANVAS_ENABLE_WHITELIST_INGEST": "1",
    "TRADE_CANVAS_ENABLE_ONDEMAND_INGEST": "1",
    "TRADE_CANVAS_ONDEMAND_IDLE_TTL_S": "1",
    "TRADE_CANVAS_LEASE_TTL_S": "3",
    "TRADE_CANVAS_RECONCILE_INTERVAL_S": "0.5",
    "TRADE_CANVAS_HUB_CHECK_INTERVAL_S": "0.5",
}
STARTED_S = 30.0


@pytest.fixture(scope="module")
def running(shared_stack) -> Stack:
    """A stack with everything running and one whitelisted series."""
    shared_stack.environment.update(SWITCHES)
    shared_stack.local_exchange()
    whitelist(shared_stack, PINNED)
    shared_stack.installation()
    return shared_stack


def whitelist(stack: Stack, series_id: str) -> None:
    """Whitelist a series as the admin does: a row through the model."""
    create = f"WhitelistedSeries.objects.create(series_id={series_id!r})"
    stack.manage("shell", "-c", f"from market.models import WhitelistedSeries; {create}")


@pytest.fixture
def web(running):
    return next(each for each in running.processes if each.name == "web")


@pytest.fixture
def exchange(running):
    found = Exchange(next(each for each in running.processes if each.name == "exchange"))
    yield found
    found.clear()


def head_of(web, series_id):
    page = get(f"{web.url}/api/market/candles?series_id={series_id}&limit=1")[1]
    return page["server_head_time"]


def job_of(web, series_id):
    jobs = get(f"{web.url}/api/market/debug/ingest_state")[1]["jobs"]
    return next((job for job in jobs if job["series_id"] == series_id), None)


def head_beyond(web, series_id, moment):
    return wait_until(
        lambda: (head_of(web, series_id) or 0) > moment and head_of(web, series_id),
        STARTED_S,
        f"{series_id} to pass {moment}",
    )


async def read_live(follower, seconds):
    """Read through the history and then for `seconds` of live candles; the last candle's time."""
    return await read_past(follower, int(time.time()) + seconds)


async def read_past(follower, moment):
    """Read until a closed candle later than `moment` came; its time."""
    async with asyncio.timeout(STARTED_S):
        while True:
            message = await follower.next()
            if message["type"] == "candle_closed" and message["candle"]["candle_time"] > moment:
                return message["candle"]["candle_time"]


def assert_consecutive(times):
    """Each exactly one second after the one before: none twice, none missing, none late."""
    assert times == list(range(times[0], times[0] + len(times)))


async def assert_true(client, exchange, series_id):
    """What is stored is what the exchange truly had, from the first candle to the head."""
    stored = await client.candles(series_id, limit=5000)
    first, last = stored[0]["candle_time"], stored[-1]["candle_time"]
    assert_consecutive([candle["candle_time"] for candle in stored])
    assert stored == exchange.truth(series_id, first, last)


async def test_whitelisted_series_flows_with_nobody_watching(web, exchange):
    first = head_beyond(web, PINNED, 0)
    head_beyond(web, PINNED, first + 2)
    job = job_of(web, PINNED)
    assert (job["refcount"], job["state"], job["running"]) == (-1, "running", True)
    async with Client(web.url) as client:
        await assert_true(client, exchange, PINNED)


async def test_series_is_followed_while_it_is_watched(web, exchange):
    series = "sim:futures:ETH/USDT:1s"
    assert (job_of(web, series), head_of(web, series)) == (None, None)
    async with Client(web.url) as client:
        watcher = await client.follow(series)
        await read_live(watcher, 2)
        assert_consecutive(watcher.closed_times())
        assert job_of(web, series)["refcount"] == 1
        await watcher.socket.close()
        await asyncio.to_thread(
            wait_until, lambda: job_of(web, series) is None, STARTED_S, "the series to be released"
        )
        # The exchange goes on, as the other series shows; this one stands still.
        released = head_beyond(web, PINNED, head_of(web, PINNED) + 1)
        stopped = head_of(web, series)
        assert stopped < head_beyond(web, PINNED, released + 2)
        assert head_of(web, series) == stopped
        await assert_true(client, exchange, series)


async def watch_through(web, exchange, series_id, *faults):
    """Put faults in force on a live series, and watch until they are well past."""
    async with Client(web.url) as client:
        watcher = await client.follow(series_id)
        live = await read_live(watcher, 0)
        for fault in faults:
            await asyncio.to_thread(exchange.fault, series_id=series_id, **fault)
        await read_past(watcher, live + 6)
        assert_consecutive(watcher.closed_times())
        await assert_true(client, exchange, series_id)
        return watcher.messages


async def test_lost_exchange_connection_costs_no_candle(web, exchange):
    fault = {"kind": "drop_connections", "duration_s": 1.5, "abort": True}
    messages = await watch_through(web, exchange, "sim:spot:SOL/USDT:1s", fault)
    assert "gap" not in {message["type"] for message in messages}


async def test_candles_that_streams_omit_are_read_over_rest(web, exchange):
    messages = await watch_through(
        web, exchange, "sim:futures:XRP/USDT:1s", {"kind": "omit", "next": 2}
    )
    assert "gap" not in {message["type"] for message in messages}


async def test_repeated_and_swapped_candles_arrive_once_in_order(web, exchange):
    faults = {"kind": "duplicate", "times": 3, "count": 4}, {"kind": "reorder", "count": 2}
    messages = await watch_through(web, exchange, "sim:futures:ADA/USDT:1s", *faults)
    assert "gap" not in {message["type"] for message in messages}


async def test_revised_candle_is_told_and_not_sent_again(web, exchange):
    fault = {"kind": "revise", "last": 1, "factor": 1.01, "push": True}
    messages = await watch_through(web, exchange, "sim:futures:DOGE/USDT:1s", fault)
    events = [message["event"] for message in messages if message["type"] == "system"]
    assert events == ["candle.revised"]


async def test_series_beyond_the_capacity_is_refused_and_the_connection_stays(running, web):
    limited = running.web(TRADE_CANVAS_ONDEMAND_MAX_JOBS="1")
    await asyncio.to_thread(wait_until, lambda: not leased(web), STARTED_S, "leases to run out")
    async with Client(limited.url) as client:
        admitted = await client.follow("sim:futures:LINK/USDT:1s")
        await admitted.next_of("candle_closed")
        await admitted.say(type="subscribe", series_id="sim:futures:BNB/USDT:1s")
        refusal = await admitted.next_of("error")
        assert refusal == {
            "type": "error",
            "code": "capacity",
            "message": "ondemand_ingest_capacity",
            "series_id": "sim:futures:BNB/USDT:1s",
        }
        await admitted.next_of("candle_closed")
        # What is followed anyway takes no place.
        await admitted.say(type="subscribe", series_id=PINNED, since=head_of(web, PINNED))
        message = await admitted.next_of("candle_closed")
        while message["series_id"] != PINNED:
            message = await admitted.next_of("candle_closed")
    assert job_of(web, "sim:futures:BNB/USDT:1s") is None


def leased(web):
    jobs = get(f"{web.url}/api/market/debug/ingest_state")[1]["jobs"]
    return [job for job in jobs if job["refcount"] >= 0]
