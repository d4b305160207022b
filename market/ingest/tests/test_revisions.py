"""Closed candles far behind the head are read again at a slow rhythm, and corrected."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace

import pytest

from lab.waiting import eventually
from market.domain.feed import FeedError
from market.domain.timeframe import Timeframe
from market.exchanges.rate_limit import YIELDS
from market.ingest.follow import revision_pace_from_switches
from market.ingest.lease_store_memory import MemoryLeaseStore
from market.ingest.revisions import RevisionPace, Revisions
from market.ingest.tests.exchange_fake import (
    OTHER,
    SERIES,
    FakeFeed,
    at,
    candle_at,
    memory_ports,
    stored,
)
from market.stopping import stop

PACE = RevisionPace(interval_s=600.0, candles=50, page_pause_s=0.0, retry_s=0.01, poll_s=0.01)
COUNT = 40
THIRD = replace(SERIES, symbol="ADA/USDT")


@pytest.fixture(autouse=True)
def leases(monkeypatch):
    store = MemoryLeaseStore()
    monkeypatch.setattr("market.ingest.revisions.lease_store", lambda: store)
    return store


@pytest.fixture
def feed():
    feed = FakeFeed(page=10)
    for number in range(COUNT):
        feed.add_candle(number)
    return feed


@pytest.fixture
def ports():
    ports = memory_ports()
    ports.committer.pipeline.ingest(SERIES, [candle_at(number) for number in range(COUNT)])
    return ports


@contextlib.asynccontextmanager
async def checking(feed, ports, pace=PACE, series=(SERIES,)):
    fences = {one: ports.store.next_fence(one) for one in series}
    revisions = Revisions(feed, ports, pace=pace, joined=lambda: fences)
    task = asyncio.create_task(revisions.run())
    try:
        yield fences
    finally:
        await stop([task])


def is_as_the_exchange(feed, ports):
    return stored(ports) == [feed.candles[SERIES][time] for time in sorted(feed.candles[SERIES])]


async def test_bar_corrected_twenty_behind_the_head_is_corrected_here(feed, ports):
    feed.add_candle(COUNT - 20, price=77.0)
    async with checking(feed, ports):
        await eventually(lambda: is_as_the_exchange(feed, ports))
    [change] = ports.publisher.changes
    assert change.revised_from == at(COUNT - 20)
    assert [notice.event for notice in change.notices] == ["candle.revised"]


async def test_window_ends_before_the_newest_and_begins_at_the_first_stored(feed, ports):
    async with checking(feed, ports):
        await eventually(lambda: feed.reads)
    assert feed.reads[0] == (SERIES, at(0), at(COUNT - 1 - PACE.skipped))


async def test_series_is_read_again_once_an_interval_over_all_workers(feed, ports, leases):
    for other in (OTHER, THIRD):
        async with checking(feed, ports, series=(SERIES, other)):
            # A job reads one series at a time, so it is done with the one before.
            await eventually(lambda other=other: leases.is_claimed(f"revisions:{other}"))
    assert len(feed.reads) == 1


async def test_failed_check_is_repeated_and_the_series_is_not_disturbed(feed, ports):
    feed.add_candle(5, price=77.0)
    feed.faults = [FeedError("gone"), FeedError("gone")]
    async with checking(feed, ports):
        await eventually(lambda: is_as_the_exchange(feed, ports))
    assert len(feed.reads) == 3


async def test_check_that_is_cut_short_is_begun_again_by_the_next_job(feed, ports):
    feed.gate = asyncio.Event()
    async with checking(feed, ports):
        await eventually(lambda: feed.reads)
    feed.gate = None
    async with checking(feed, ports):
        await eventually(lambda: len(feed.reads) == 2)


async def test_job_that_lost_its_series_corrects_nothing(feed, ports):
    feed.add_candle(5, price=77.0)
    async with checking(feed, ports):
        ports.store.next_fence(SERIES)
        await eventually(lambda: feed.reads)
    assert stored(ports)[5] == candle_at(5)


async def test_other_requests_go_first(feed, ports, monkeypatch):
    yielding = []

    async def history(series, start, end):
        yielding.append(YIELDS.get())
        return
        yield

    monkeypatch.setattr(feed, "history", history)
    async with checking(feed, ports):
        await eventually(lambda: yielding)
    assert yielding == [True]


async def test_interval_of_zero_turns_it_off(feed, ports):
    revisions = Revisions(feed, ports, pace=RevisionPace(), joined=dict)
    await asyncio.wait_for(revisions.run(), 1)


@pytest.mark.parametrize(
    ("timeframe", "wanted", "candles"),
    [("1m", 0, 1440), ("1h", 0, 100), ("1d", 0, 100), ("1s", 0, 10_000), ("1h", 500, 500)],
)
def test_look_back_is_a_day_and_bounded(timeframe, wanted, candles):
    assert RevisionPace(candles=wanted).candles_of(Timeframe.parse(timeframe)) == candles


@pytest.mark.parametrize(("is_on", "interval_s"), [(False, 0.0), (True, 900.0)])
def test_pace_is_that_of_the_switches(switched, is_on, interval_s):
    switched(enable_revision_check=is_on, revision_check_interval_s=900.0, revision_check_candles=7)
    pace = revision_pace_from_switches()
    assert (pace.interval_s, pace.candles) == (interval_s, 7)
