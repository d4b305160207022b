"""Missing candles: asked for once, fetched, and accounted for in ledger and progress."""

from __future__ import annotations

import asyncio
import threading
import time
from datetime import UTC, datetime

import pytest

from lab.waiting import eventually, patience
from market import blocking
from market.domain.candle import Candle
from market.domain.feed import FeedError, FeedRefused, HistoryPage, Hole, Missing
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
from market.ingest.dispatch import BRING_UP, Background
from market.ingest.gap_ranges import MAX_ATTEMPTS, GapState
from market.ingest.lease_store_memory import MemoryLeaseStore
from market.ingest.tests.gaps import record_gap
from market.models import GapRecord
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

    def __init__(self, minutes=(), error=None, gate=None, *, page=3, nothing=None):
        self.minutes = list(minutes)
        self.page = page
        self.nothing = nothing
        self.error = error
        self.gate = gate
        self.closed = 0
        self.asked = []

    def open(self, exchange, market):
        return self

    def page_candles(self, series):
        return 1000

    async def history(self, series, start, end):
        self.asked.append((start // 60, end // 60))
        if self.gate is not None:
            await asyncio.to_thread(self.gate.wait, 5)
        inside = [candle(m) for m in self.minutes if start <= m * 60 <= end]
        for at in range(0, len(inside), self.page):
            found = inside[at : at + self.page]
            is_last = at + self.page >= len(inside) and self.error is None
            last = end if is_last else found[-1].candle_time
            yield history_page(found, (start, last), BTC)
            start = last + 60
        if self.error is not None:
            raise self.error
        if not inside:
            yield self.nothing or history_page([], (start, end), BTC)

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


def make_due():
    """Let the time of every next attempt come."""
    GapRecord.objects.update(next_attempt_at=datetime.now(UTC))


async def test_backfill_stores_and_closes_its_feed():
    feed = FakeFeed([1, 2, 3, 4, 5])
    assert await backfill_range(BTC, 60, 240, open_feed=feed.open)
    assert stored() == [1, 2, 3, 4]
    assert feed.closed == 1


async def test_end_of_a_backfill_requests_that_ledgers_follow(monkeypatch):
    requested = []

    def request(task, *arguments, expires, here):
        requested.append((task, arguments, stored()))
        return True

    monkeypatch.setattr("market.ingest.ledgers.dispatch.request", request)
    feed = FakeFeed([1, 2, 3, 4, 5])
    assert await backfill_range(BTC, 60, 300, open_feed=feed.open)
    assert await backfill_range(BTC, 60, 300, open_feed=feed.open)
    assert requested == [(BRING_UP, (str(BTC),), [1, 2, 3, 4, 5])]


async def test_backfill_of_a_noted_hole_fills_it_and_notes_what_the_exchange_lacks():
    store(1, 8)
    note(2, 7)
    feed = FakeFeed([1, 2, 3, 5, 6, 7, 8], page=10)
    assert await backfill_range(BTC, 120, 420, open_feed=feed.open)
    assert noted() == [
        (2, 3, GapState.REPAIRED),
        (4, 4, GapState.QUIET),
        (5, 7, GapState.REPAIRED),
    ]


async def test_repair_asks_for_the_candles_on_both_sides_to_see_that_a_hole_is_quiet():
    store(1, 4)
    note(2, 3)
    feed = FakeFeed([1, 4])
    assert await repair_due(stopping=lambda: False, open_feed=feed.open) == 1
    assert feed.asked == [(1, 4)]
    assert noted() == [(2, 3, GapState.QUIET)]
    assert entries()[0].evidence.bars == (60, 240)
    assert await repair_due(stopping=lambda: False, open_feed=feed.open) == 0


async def test_empty_answer_is_no_proof_and_is_asked_for_again(monkeypatch):
    store(1, 4)
    note(2, 3)
    assert await repair_due(stopping=lambda: False, open_feed=FakeFeed().open) == 1
    assert noted() == [(2, 3, GapState.UNANSWERED)]
    assert (entries()[0].attempts, entries()[0].evidence.asked) == (1, (60, 240))
    assert await repair_due(stopping=lambda: False, open_feed=FakeFeed([2, 3]).open) == 0
    later = entries()[0].next_attempt_at
    assert later - time.time() == pytest.approx(7_200, abs=patience(60))
    await blocking.run(make_due)
    assert await repair_due(stopping=lambda: False, open_feed=FakeFeed([2, 3]).open) == 1
    assert (stored(), noted()) == ([1, 2, 3, 4], [(2, 3, GapState.REPAIRED)])


async def test_holes_near_each_other_are_asked_for_together():
    store(1, 3, 5, 7)
    for minute in (2, 4, 6):
        note(minute, minute)
    feed = FakeFeed([1, 3, 5, 7], page=10)
    assert await repair_due(stopping=lambda: False, open_feed=feed.open) == 1
    assert feed.asked == [(1, 7)]
    assert noted() == [(minute, minute, GapState.QUIET) for minute in (2, 4, 6)]


async def test_refusal_of_the_series_ends_its_repairs():
    store(1, 4)
    note(2, 3)
    feed = FakeFeed(error=FeedRefused("sim has no BTC/USDT"))
    assert await repair_due(stopping=lambda: False, open_feed=feed.open) == 1
    assert noted() == [(2, 3, GapState.UNSERVED)]
    assert entries()[0].reason == "sim has no BTC/USDT"
    assert await repair_due(stopping=lambda: False, open_feed=feed.open) == 0


async def test_progress_of_what_is_not_served_shows_the_reason(lease_store):
    hole = Hole(from_time=60, to_time=180, why=Missing.UNSERVED, detail="at most 720 candles")
    page = HistoryPage(candles=[], asked=(60, 180), holes=(hole,))
    await backfill_range(BTC, 60, 180, reason=TAIL, open_feed=FakeFeed(nothing=page).open)
    found = lease_store.progress(BTC)
    assert (found.state, found.note) == ("succeeded", "tail_coverage_partial")
    assert found.error == "at most 720 candles"


async def test_failed_repair_leaves_the_hole_open_and_counts():
    store(1, 8)
    note(2, 7)
    feed = FakeFeed([2], error=FeedError("down"))
    assert await repair_due(stopping=lambda: False, open_feed=feed.open) == 1
    assert noted() == [(2, 2, GapState.REPAIRED), (3, 7, GapState.OPEN)]
    assert entries()[1].attempts == 1
    assert await repair_due(stopping=lambda: False, open_feed=feed.open) == 0


async def test_repair_fills_due_holes_until_it_is_stopped():
    store(1, 4)
    note(2, 3)
    feed = FakeFeed([2, 3])
    assert await repair_due(stopping=lambda: True, open_feed=feed.open) == 0
    assert await repair_due(stopping=lambda: False, open_feed=feed.open) == 1
    assert (stored(), noted()) == ([1, 2, 3, 4], [(2, 3, GapState.REPAIRED)])


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


async def test_hole_at_the_end_is_no_longer_asked_for_after_its_last_attempt():
    store(1)
    note(2, 3)
    for attempt in range(1, MAX_ATTEMPTS + 1):
        assert blocking.call(gap_ledger.ledger().begin_repairs, entries())
        await backfill_range(BTC, 120, 180, open_feed=FakeFeed().open)
        (entry,) = entries()
        assert entry.attempts == attempt
    assert noted() == [(2, 3, GapState.UNANSWERED)]
    assert entry.next_attempt_at is None


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


@pytest.mark.parametrize("state", [GapState.QUIET, GapState.UNSERVED, GapState.UNANSWERED])
def test_tail_that_is_stored_or_was_answered_is_not_asked_for(asked, state):
    end = BTC.timeframe.latest_closed(time.time()) // 60
    store(end + 1, end, end - 2, end - 3)
    note(end - 1, end - 1, state=state)
    assert not request_tail(BTC, 4)
    assert asked == []


def test_tail_whose_next_attempt_is_due_is_asked_for(asked):
    end = BTC.timeframe.latest_closed(time.time()) // 60
    store(end, end - 2)
    note(end - 1, end - 1, state=GapState.UNANSWERED)
    make_due()
    assert request_tail(BTC, 3)


def test_quiet_minute_that_is_stored_meanwhile_hides_no_missing_one(asked):
    end = BTC.timeframe.latest_closed(time.time()) // 60
    note(end - 1, end - 1, state=GapState.QUIET)
    store(end, end - 1)
    assert request_tail(BTC, 3)


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


@pytest.mark.parametrize("state", [GapState.QUIET, GapState.UNSERVED, GapState.UNANSWERED])
async def test_gap_that_was_answered_is_not_asked_for(asked, switched, state):
    note(1, 4, state=state)
    assert not await repair_gap(BTC, 120, 180, 5.0)
    switched(enable_ccxt_backfill=False)
    assert not await repair_gap(BTC, 600, 660, 5.0)
    assert asked == []


async def test_gap_of_several_holes_that_were_answered_is_not_asked_for(asked):
    note(2, 3, state=GapState.QUIET)
    note(4, 5, state=GapState.UNANSWERED)
    assert not await repair_gap(BTC, 120, 300, 5.0)
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
