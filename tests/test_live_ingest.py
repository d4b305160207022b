"""Candles from the exchange to the watcher through real processes, also when it misbehaves.

All tests share one stack (web, worker, beat, local exchange) and keep to series of their own.
"""

from __future__ import annotations

import asyncio
import time

import pytest

from lab.http import get
from lab.waiting import patience, wait_until
from tests.clients import Client, head_of

PINNED = "sim:futures:BTC/USDT:1s"
STARTED_S = 60.0
# tests/conftest.py
SYNCED = 2500
CANDLES = {"candle_closed", "candle_forming"}

LOST = "sim:spot:SOL/USDT:1s"
OMITTED = "sim:futures:XRP/USDT:1s"
SWAPPED = "sim:futures:ADA/USDT:1s"
REVISED = "sim:futures:DOGE/USDT:1s"
FAULTS = {
    # All sockets of the market are cut, so this one has the market for itself.
    LOST: [{"kind": "drop_connections", "duration_s": 1.5, "abort": True}],
    OMITTED: [{"kind": "omit", "next": 2}],
    SWAPPED: [{"kind": "duplicate", "times": 3, "count": 4}, {"kind": "reorder", "count": 2}],
    REVISED: [{"kind": "revise", "last": 1, "factor": 1.01, "push": True}],
}
EVENTS = {REVISED: ["candle.revised", "factor.rebuild"]}


@pytest.fixture
def web(installed):
    return next(each for each in installed.webs if each.is_running)


@pytest.fixture
def exchange(installed):
    yield installed.exchange
    installed.exchange.clear()


def is_whole(web, series_id):
    """Whether the series reaches back as far as the start-up sync asks."""
    head = head_of(web, series_id) or 0
    since = head - SYNCED
    page = get(f"{web.url}/api/market/candles?series_id={series_id}&since={since}&limit=1")[1]
    return head and page["candles"][0]["candle_time"] < head - 0.9 * SYNCED


def job_of(web, series_id):
    jobs = get(f"{web.url}/api/market/debug/ingest_state")[1]["jobs"]
    return next((job for job in jobs if job["series_id"] == series_id), None)


def running_job(web, series_id):
    job = job_of(web, series_id)
    return job if job and job["running"] and job["state"] == "running" else None


def head_beyond(web, series_id, moment):
    return wait_until(
        lambda: (head := head_of(web, series_id) or 0) > moment and head,
        STARTED_S,
        f"{series_id} to pass {moment}",
    )


async def read_live(follower, seconds):
    """Read through the history and then for `seconds` of live candles; the last candle's time."""
    return await read_past(follower, int(time.time()) + seconds)


async def read_past(follower, moment):
    """Read until a closed candle later than `moment` came; its time."""
    async with asyncio.timeout(patience(STARTED_S)):
        while True:
            message = await follower.next()
            if message["type"] == "candle_closed" and message["candle"]["candle_time"] > moment:
                return message["candle"]["candle_time"]


async def closed_of(follower, series_id):
    """Read until a closed candle of one series came."""
    async with asyncio.timeout(patience(STARTED_S)):
        while (await follower.next_of("candle_closed"))["series_id"] != series_id:
            pass


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
    job = wait_until(lambda: running_job(web, PINNED), STARTED_S, "the job to be reported")
    assert job["refcount"] == -1
    async with Client(web.url) as client:
        await assert_true(client, exchange, PINNED)


async def test_series_is_followed_while_it_is_watched(web, exchange):
    series = "sim:futures:AVAX/USDT:1s"
    assert (job_of(web, series), head_of(web, series)) == (None, None)
    async with Client(web.url) as client:
        watcher = await client.follow(series)
        await read_live(watcher, 2)
        assert_consecutive(watcher.closed_times())
        assert job_of(web, series)["refcount"] == 1
        await watcher.leave()
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
        await asyncio.to_thread(
            wait_until, lambda: is_whole(web, series_id), STARTED_S, "the history"
        )
        live = await read_live(watcher, 0)
        # Of a new series the newest page comes first; the rest is a revision.
        before = len(watcher.messages)
        for fault in faults:
            await asyncio.to_thread(exchange.fault, series=series_id, **fault)
        await read_past(watcher, live + 6)
        # They may come later than the candles that they are about.
        while len(events_of(watcher, before)) < len(EVENTS.get(series_id, [])):
            await watcher.next()
        assert_consecutive(watcher.closed_times())
        await assert_true(client, exchange, series_id)
        return events_of(watcher, before)


def events_of(watcher, before):
    """Everything but candles since then: the names of events, and other messages whole."""
    others = [each for each in watcher.messages[before:] if each["type"] not in CANDLES]
    return [each.get("event", each) for each in others]


@pytest.mark.prove
async def test_faults_of_the_exchange_cost_no_candle(web, exchange):
    watched = (watch_through(web, exchange, series, *faults) for series, faults in FAULTS.items())
    events = dict(zip(FAULTS, await asyncio.gather(*watched), strict=True))
    assert events == {LOST: [], OMITTED: [], SWAPPED: [], **EVENTS}


async def test_series_beyond_the_capacity_is_refused_and_the_connection_stays(installed, web):
    limited = installed.web(TRADE_CANVAS_ONDEMAND_MAX_JOBS="1")
    await asyncio.to_thread(wait_until, lambda: not leased(web), STARTED_S, "leases to run out")
    async with Client(limited.url) as client:
        admitted = await client.follow("sim:futures:LINK/USDT:1s")
        await admitted.next_of("candle_closed")
        await admitted.send(type="subscribe", series_id="sim:futures:BNB/USDT:1s")
        refusal = await admitted.next_of("error")
        assert refusal == {
            "type": "error",
            "code": "capacity",
            "message": "ondemand_ingest_capacity",
            "series_id": "sim:futures:BNB/USDT:1s",
        }
        await admitted.next_of("candle_closed")
        # What is followed anyway takes no place.
        await admitted.send(type="subscribe", series_id=PINNED, since=head_of(web, PINNED))
        await closed_of(admitted, PINNED)
    assert job_of(web, "sim:futures:BNB/USDT:1s") is None
    limited.terminate()


async def test_address_has_one_quota_over_all_web_processes(installed, web):
    limited = installed.web(TRADE_CANVAS_ONDEMAND_MAX_SERIES_PER_ADDRESS="1")
    async with Client(web.url) as client, Client(limited.url) as elsewhere:
        held = await client.follow("sim:futures:LINK/USDT:1s")
        await held.next_of("candle_closed")
        watcher = await elsewhere.follow(PINNED)
        await watcher.send(type="subscribe", series_id="sim:futures:BNB/USDT:1s")
        refusal = await watcher.next_of("error")
        assert (refusal["code"], refusal["series_id"]) == ("capacity", "sim:futures:BNB/USDT:1s")
        # What the address has already, it has there as well.
        await watcher.send(type="subscribe", series_id="sim:futures:LINK/USDT:1s")
        await closed_of(watcher, "sim:futures:LINK/USDT:1s")
    limited.terminate()


def leased(web):
    jobs = get(f"{web.url}/api/market/debug/ingest_state")[1]["jobs"]
    return [job for job in jobs if job["refcount"] >= 0]
