"""Metrics of real processes: what is counted agrees with what watchers were sent."""

from __future__ import annotations

import asyncio
import urllib.request

import pytest
from prometheus_client.parser import text_string_to_metric_families

from lab.waiting import patience, wait_until
from tests.clients import Client

POSTED = "binance:futures:BTC/USDT:1m"
FOLLOWED = "sim:spot:BTC/USDT:1s"
WATCHERS = 3
CANDLES = 4
SWITCHES = {
    "TRADE_CANVAS_ENABLE_CAPACITY_METRICS": "1",
    "TRADE_CANVAS_ENABLE_WHITELIST_INGEST": "1",
    "TRADE_CANVAS_RECONCILE_INTERVAL_S": "0.3",
    "TRADE_CANVAS_STARTUP_KLINE_SYNC_TARGET_CANDLES": "100",
}


def scrape(url):
    """Every sample of /metrics by its name and the values of its labels."""
    with urllib.request.urlopen(f"{url}/metrics", timeout=patience(10)) as response:
        text = response.read().decode()
    return {
        (sample.name, *(sample.labels[key] for key in sorted(sample.labels))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def watch(first, second):
    """Have watchers on both instances see candles that are posted to the first."""
    async with Client(first) as here, Client(second) as there:
        followers = [await each.follow(POSTED, since=0) for each in (here, there) * WATCHERS]
        for client, follower in zip((here, there) * WATCHERS, followers, strict=True):
            await client.settle(follower)
        for number in range(1, CANDLES + 1):
            await here.ingest(POSTED, (60 * number, 1.0, 2.0, 0.5, 1.5, 10.0))
        for follower in followers:
            while len(follower.closed_times()) < CANDLES:
                await follower.next()
        return scrape(first), scrape(second)


@pytest.fixture(scope="module")
def installation(shared_stack):
    """Two web processes, worker, beat and exchange, with a series to follow; their addresses."""
    shared_stack.environment.update(SWITCHES)
    shared_stack.local_exchange()
    shared_stack.sql("INSERT INTO whitelist (series_id, enabled) VALUES (%s, true)", FOLLOWED)
    first = shared_stack.web(wait=False)
    second = shared_stack.start_all()
    first.wait_ready()
    return first.url, second.url, shared_stack.workers[0].url


def test_published_times_watchers_is_delivered(installation):
    first, second, _ = installation
    samples_of_each = asyncio.run(watch(first, second))
    for samples in samples_of_each:
        assert samples["market_ws_watchers",] == WATCHERS
        assert samples["market_ws_candles_delivered_total", POSTED] == WATCHERS * CANDLES
        assert samples["market_ws_frames_total", "candle_closed"] == WATCHERS * CANDLES
        assert samples["market_ws_delivery_seconds_count",] == CANDLES
    assert samples_of_each[0]["market_candles_published_total", POSTED] == CANDLES
    assert ("market_candles_published_total", POSTED) not in samples_of_each[1]
    # The first receives its own candles over the bus too, and skips them.
    assert samples_of_each[1]["market_bus_received_total",] == CANDLES


def test_web_tells_of_the_installation_and_worker_of_its_tasks(installation):
    web, _, worker_url = installation

    def followed():
        samples = scrape(web)
        has_head = samples.get(("market_series_head_time", FOLLOWED))
        is_followed = has_head and samples["market_series_followed", FOLLOWED]
        return samples if is_followed and not samples["market_queue_depth", "follow"] else None

    seen = wait_until(followed, 30, "the series to be followed")
    kinds = ("web", "worker", "beat")
    assert [seen["market_processes", kind] for kind in kinds] == [2, 1, 1]
    assert seen["market_part_up", "broker"] == 1
    assert seen["market_reconcile_age_seconds",] < 30

    def counted():
        samples = scrape(worker_url)
        fresh = samples.get(("market_candles_stored_total", "fresh", FOLLOWED), 0)
        return samples if fresh >= 100 else None

    worker = wait_until(counted, 30, "a hundred candles to be counted")
    assert worker["market_tasks_total", "ok", "market.tasks.reconcile"] >= 1
    assert worker["market_task_wait_seconds_count", "market.tasks.follow"] >= 1
    assert worker["market_follow_jobs", "whitelist"] == 1
    assert ("market_processes", "web") not in worker
