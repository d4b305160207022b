"""Missing candles: asked for once, fetched, and accounted for in ledger and progress."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from lab.waiting import eventually, patience
from market import blocking
from market.domain.candle import Candle
from market.domain.feed import FeedError
from market.domain.lease_store import LeaseStoreUnavailable
from market.domain.series import SeriesId
from market.ingest import coverage, dispatch, gap_ledger, progress
from market.ingest.coverage import (
    GAP,
    TAIL,
    backfill_range,
    repair_due,
    repair_gap,
    request_backfill,
    request_tail,
)
from market.ingest.dispatch import Background
from market.ingest.gap_ranges import GapState
from market.ingest.lease_store_memory import MemoryLeaseStore
from market.ingest.tests.gaps import record_gap
from market.runtime import candle_store, pipeline
from market.tests.builders import history_page

BTC = SeriesId.parse("sim:spot:BTC/USDT:1m")
ETH = SeriesId.parse("sim:spot:ETH/USDT:1m")
NOWHERE = SeriesId.parse("nowhere:spot:BTC/USDT:1m")

pytestmark = pytest.mark.django_db(transaction=True)


def candle(minute):
    return Candle(minute * 60, 1.0, 2.0, 0.5, 1.5, 10.0)


class FakeFeed:
    """An exchange that has the given minutes, or an error."""

    def __init__(self, minutes=(), error=None, gate=None):
        self.minutes = list(minutes)
        self.error = error
        self.gate = gate
        self.closed = 0
        self.asked = []

    def open(self, exchange, market):
        return self

    async def history(self, series, start, end):
        self.asked.append((start // 60, end // 60))
        if self.gate is not None:
            await asyncio.to_thread(self.gate.wait, 5)
        inside = [candle(m) for m in self.minutes if start <= m * 60 <= end]
        for at in range(0, len(inside), 3):
            found = inside[at : at + 3]
            yield history_page(found, (found[0].candle_time, found[-1].candle_time), BTC)
        if self.error is not None:
            raise self.error

    async def close(self):
        self.closed += 1


@pytest.fixture(autouse=True)
def lease_store(monkeypatch):
    lease_store = MemoryLeaseStore()
    for each in (coverage, progress):
        monkeypatch.setattr(each, "lease_store", lambda: lease_store)
    return lease_store


@pytest.fixture
def asked(monkeypatch, switched):
    """Backfills that workers were asked for."""
    switched(enable_ccxt_backfill=True)
    tasks = []

    def send(task, *arguments, expires, queue=None):
        tasks.append(arguments)
        return True

    monkeypatch.setattr(coverage.dispatch, "send", send)
    return tasks


def store(*minutes):
    blocking.call(pipeline().ingest, BTC, [candle(minute) for minute in minutes])


def stored():
    return [each.candle_time // 60 for each in blocking.call(candle_store().newest, BTC, 100)]


def noted():
    return [(e.from_time // 60, e.to_time // 60, e.state) for e in entries()]


def entries():
    return blocking.call(gap_ledger.ledger().entries, BTC)


def note(first, last, *, series=BTC, state=GapState.OPEN):
    blocking.call(record_gap, series, first * 60, last * 60, state)


async def test_backfill_stores_and_closes_its_feed():
    feed = FakeFeed([1, 2, 3, 4, 5])
    assert await backfill_range(BTC, 60, 240, open_feed=feed.open)
    assert stored() == [1, 2, 3, 4]
    assert feed.closed == 1


async def test_backfill_of_a_noted_hole_fills_it_and_notes_what_the_exchange_lacks():
    store(1, 8)
    note(2, 7)
    feed = FakeFeed([1, 2, 3, 5, 6, 7, 8])
    assert await backfill_range(BTC, 120, 420, open_feed=feed.open)
    assert noted() == [
        (2, 3, GapState.FILLED),
        (4, 4, GapState.ABSENT),
        (5, 7, GapState.FILLED),
    ]


async def test_failed_repair_leaves_the_hole_open_and_counts():
    store(1, 8)
    note(2, 7)
    feed = FakeFeed([2], error=FeedError("down"))
    assert await repair_due(stopping=lambda: False, open_feed=feed.open) == 1
    assert noted() == [(2, 2, GapState.FILLED), (3, 7, GapState.OPEN)]
    assert entries()[1].attempts == 1
    assert await repair_due(stopping=lambda: False, open_feed=feed.open) == 0


async def test_repair_fills_due_holes_until_it_is_stopped():
    store(1, 4)
    note(2, 3)
    feed = FakeFeed([2, 3])
    assert await repair_due(stopping=lambda: True, open_feed=feed.open) == 0
    assert await repair_due(stopping=lambda: False, open_feed=feed.open) == 1
    assert (stored(), noted()) == ([1, 2, 3, 4], [(2, 3, GapState.FILLED)])


async def test_repair_that_fails_unexpectedly_keeps_no_other_waiting():
    store(1, 4)
    note(2, 3, series=ETH)
    note(2, 3)
    feed = FakeFeed([2, 3])

    def open_feed(exchange, market):
        # The first to be repaired is that of ETH.
        feed.error = None if feed.asked or feed.closed else ZeroDivisionError("a fault of ours")
        return feed

    assert await repair_due(stopping=lambda: False, open_feed=open_feed) == 2
    assert stored() == [1, 2, 3, 4]


async def test_repair_leaves_unknown_exchanges_alone():
    note(2, 3, series=NOWHERE)
    assert await repair_due(stopping=lambda: False, open_feed=FakeFeed().open) == 0


async def test_hole_at_the_end_is_absent_after_its_last_attempt():
    store(1)
    note(2, 3)
    ledger = gap_ledger.ledger()
    for attempt in range(1, gap_ledger.MAX_ATTEMPTS + 1):
        (entry,) = entries()
        assert blocking.call(ledger.begin_repair, entry)
        await backfill_range(BTC, 120, 180, open_feed=FakeFeed().open)
        (entry,) = entries()
        assert entry.attempts == attempt
    assert noted() == [(2, 3, GapState.ABSENT)]


def test_tail_is_asked_for_with_progress_once_in_a_while(asked, lease_store, monkeypatch):
    monkeypatch.setattr(coverage, "is_admitted", lambda series: True)
    assert request_tail(BTC, 100)
    ((name, start, end, reason),) = asked
    assert (name, reason, end - start) == (str(BTC), TAIL, 99 * 60)
    assert end == BTC.timeframe.latest_closed(time.time())
    progress = lease_store.progress(BTC)
    assert (progress.state, progress.reason) == ("running", TAIL)
    assert progress.start_missing_seconds == end
    assert not request_tail(BTC, 100)


def test_tail_is_no_longer_than_retention_keeps(asked, monkeypatch):
    monkeypatch.setattr(coverage, "is_admitted", lambda series: True)
    monkeypatch.setattr("market.runtime.retention_bounds", lambda: {BTC.timeframe: 3000})
    assert request_tail(BTC, 100)
    ((_, start, end, _),) = asked
    assert end - start == 50 * 60


def test_tail_of_a_made_up_series_is_not_asked_for(asked, monkeypatch):
    monkeypatch.setattr(coverage, "is_admitted", lambda series: False)
    assert not request_tail(BTC, 100)
    assert asked == []


def test_tail_that_is_stored_or_known_absent_is_not_asked_for(asked):
    end = BTC.timeframe.latest_closed(time.time()) // 60
    store(end + 1, end, end - 2, end - 3)
    note(end - 1, end - 1, state=GapState.ABSENT)
    assert not request_tail(BTC, 4)
    assert asked == []


def test_tail_needs_the_switch_and_a_known_exchange(asked, switched):
    assert not request_tail(NOWHERE, 10)
    switched(enable_ccxt_backfill=False)
    assert not request_tail(BTC, 10)
    assert asked == []


@pytest.mark.parametrize(
    ("minutes", "error", "expected"),
    [
        ([1, 2, 3], None, ("succeeded", "tail_coverage_done", None)),
        ([1, 2], None, ("succeeded", "tail_coverage_partial", None)),
        ([1], FeedError("no answer"), ("failed", "tail_coverage_best_effort_failed", "no answer")),
    ],
)
async def test_progress_shows_how_a_tail_backfill_ended(lease_store, minutes, error, expected):
    feed = FakeFeed(minutes, error)
    await backfill_range(BTC, 60, 180, reason=TAIL, open_feed=feed.open)
    found = lease_store.progress(BTC)
    assert (found.state, found.note, found.error) == expected


async def test_progress_shows_a_repair_while_it_runs_and_its_end(lease_store):
    feed = FakeFeed([1, 2, 3])
    seen = []

    async def noticing(*arguments):
        async for page in FakeFeed.history(feed, *arguments):
            yield page
            await eventually(lambda: lease_store.progress(BTC).note, what="the page's report")
            seen.append(lease_store.progress(BTC))

    feed.history = noticing
    await backfill_range(BTC, 60, 180, open_feed=feed.open)
    (running,), ended = seen, lease_store.progress(BTC)
    assert (running.state, running.reason) == ("running", "gap_repair")
    assert running.note == "gap_repair_running: 3 of 3 candles"
    assert (ended.state, ended.note, ended.error) == ("succeeded", "gap_repair_done", None)
    assert ended.started_at == running.started_at


def test_range_under_way_is_not_asked_for_twice(asked):
    assert request_backfill(BTC, 60, 120)
    assert request_backfill(BTC, 60, 120)
    assert asked == [(str(BTC), 60, 120, GAP)]


def test_guarded_reader_leaves_a_backfill_to_workers(switched, asked):
    switched(enable_ingest_role_guard=True, ingest_role="read")
    assert request_backfill(BTC, 60, 120)
    assert asked == [(str(BTC), 60, 120, GAP)]


def test_guarded_reader_without_workers_asks_for_no_backfill(monkeypatch, switched):
    monkeypatch.setattr(dispatch.BACKGROUND, "submit", lambda work: pytest.fail("ingest started"))
    switched(enable_ingest_role_guard=True, ingest_role="read", enable_ws_pubsub=False)
    assert not request_backfill(BTC, 60, 120)


def test_backfill_that_was_not_queued_may_be_requested_again(monkeypatch, lease_store):
    monkeypatch.setattr(coverage.dispatch, "send", lambda task, *arguments, expires, queue: False)
    assert not request_backfill(BTC, 60, 120)
    assert not lease_store.is_claimed(f"backfill:{BTC}:60:120")


def test_backfill_can_not_be_requested_without_the_lease_store(monkeypatch, asked):
    class Away:
        def claim(self, name, *, ttl):
            raise LeaseStoreUnavailable("away")

    monkeypatch.setattr(coverage, "lease_store", Away)
    assert not request_backfill(BTC, 60, 120)
    assert not request_tail(BTC, 10)


async def test_gap_is_repaired_while_the_caller_waits(monkeypatch, switched):
    switched(enable_ccxt_backfill=True, enable_ws_pubsub=False)
    work = Background()
    monkeypatch.setattr(dispatch, "BACKGROUND", work)
    work.open()
    feed = FakeFeed([2, 3])
    monkeypatch.setattr(coverage, "backfill_range", _through(feed))
    store(1, 4)
    assert await repair_gap(BTC, 120, 180, 5.0)
    assert stored() == [1, 2, 3, 4]
    assert not await repair_gap(BTC, 120, 180, 5.0)
    await work.close()


def _through(feed):
    original = coverage.backfill_range

    async def backfill(series, start, end, *, reason):
        return await original(series, start, end, reason=reason, open_feed=feed.open)

    return backfill


async def test_repair_returns_when_its_time_is_over(asked):
    async with asyncio.timeout(patience(2)):
        assert not await repair_gap(BTC, 120, 180, 0.2)
    assert asked == [(str(BTC), 120, 180, GAP)]


async def test_known_absent_gap_is_not_asked_for(asked, switched):
    note(1, 4, state=GapState.ABSENT)
    assert not await repair_gap(BTC, 120, 180, 5.0)
    switched(enable_ccxt_backfill=False)
    assert not await repair_gap(BTC, 600, 660, 5.0)
    assert asked == []


async def test_background_work_is_bounded_and_ends_with_it(monkeypatch):
    monkeypatch.setattr(dispatch, "BACKGROUND_WAITING", 3)
    work, running = Background(), []

    async def wait():
        running.append(asyncio.current_task())
        await asyncio.Event().wait()

    assert not work.submit(wait)
    work.open()
    for _ in range(3):
        assert work.submit(wait)
        await asyncio.sleep(0)
    assert not work.submit(wait)
    await eventually(lambda: len(running) == dispatch.BACKGROUND_AT_ONCE)
    await work.close()
    assert len(running) == dispatch.BACKGROUND_AT_ONCE
    assert all(task.cancelled() for task in running)


async def test_background_work_comes_from_any_thread_and_may_fail(caplog):
    work, done = Background(), []
    work.open()

    async def fail():
        done.append(threading.current_thread())
        raise ValueError("boom")

    await asyncio.to_thread(work.submit, fail)
    await eventually(lambda: "boom" in caplog.text)
    assert done == [threading.current_thread()]
    await work.close()
