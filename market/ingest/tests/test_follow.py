"""Following joins history and live candles without a hole, whatever stream and REST do."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace

import pytest
from django.db import InterfaceError, OperationalError

from lab.waiting import eventually, patience
from market.domain.candle import Candle
from market.domain.feed import FeedError, RateLimited, Source, SourceKind
from market.domain.series import SeriesId
from market.exchanges.refused_rows import refused_rows
from market.ingest.breaker import Breaker, BreakerConfig
from market.ingest.due import FollowLimits
from market.ingest.follow import Follower
from market.ingest.followed import READERS, Standing
from market.ingest.gap_ranges import GapState
from market.ingest.lease_store_memory import MemoryLeaseStore
from market.ingest.revisions import RevisionPace
from market.ingest.runtime import lease_store
from market.ingest.tests.exchange_fake import (
    OTHER,
    SERIES,
    STEP,
    FakeFeed,
    at,
    candle_at,
    memory_ports,
    stored,
)
from market.pipeline import PipelineError
from market.stopping import stop

FAST = FollowLimits(
    new_series_candles=5,
    flush_s=0.0,
    forming_interval_s=0.0,
    overdue_s=0.05,
    longest_overdue_s=0.1,
    recheck_s=60.0,
    tick_s=0.02,
    refused_s=60.0,
    store_pause_s=0.01,
)
QUICK = BreakerConfig(backoff_initial_s=0.02, backoff_max_s=0.05, open_cooldown_s=0.1)


@pytest.fixture(autouse=True)
def leases(monkeypatch):
    """The marks that jobs leave for each other."""
    store = MemoryLeaseStore()
    monkeypatch.setattr("market.ingest.backwards.lease_store", lambda: store)
    monkeypatch.setattr("market.ingest.revisions.lease_store", lambda: store)
    return store


def quick_breaker():
    return Breaker(QUICK)


class Following:
    """A follower on a fake exchange, and what it reports."""

    def __init__(
        self,
        limits=FAST,
        series=(SERIES,),
        new_breaker=quick_breaker,
        is_watched=lambda series: True,
        is_pinned=lambda series: True,
        revision_pace=None,
        page=20,
        ports=None,
    ):
        self.feed = FakeFeed(page)
        self.ports = ports or memory_ports()
        self.reports = {}
        self.states = []
        self.tokens = {one: self.ports.store.next_fence(one) for one in series}
        self.stop = asyncio.Event()
        self.follower = Follower(
            self.feed,
            self.ports,
            report=self.report,
            limits=limits,
            new_breaker=new_breaker,
            standings=lambda series: Standing(is_watched(series), is_pinned(series)),
            revision_pace=revision_pace,
        )

    def report(self, series, report):
        self.reports[series] = report
        self.states.append(report.state)

    async def wanted(self):
        return dict(self.tokens)

    @property
    def head(self):
        return self.ports.store.state(SERIES).head

    @property
    def fresh(self):
        return self.ports.publisher.fresh[SERIES]

    def stream(self, number, price=100.0):
        """A candle closes on the exchange and the stream sends it."""
        candle = self.feed.add_candle(number, price)
        self.feed.send_closed(candle)
        return candle

    async def first_message(self):
        """The stream sends its first message, about a stored candle."""
        self.feed.send_forming(candle_at(9))
        await eventually(lambda: len(self.feed.reads) == 2)

    async def reached(self, number):
        await eventually(lambda: self.head == at(number))

    async def announces(self, *numbers):
        """Wait until these are the newest candles that were announced, a moment after storing."""
        times = [at(number) for number in numbers]
        await eventually(lambda: self.fresh[-len(times) :] == times)

    def assert_true_to_the_exchange(self, series=SERIES):
        truth = self.feed.candles[series]
        first = stored(self.ports, series)[0].candle_time
        assert stored(self.ports, series) == [truth[t] for t in sorted(truth) if t >= first]


@contextlib.asynccontextmanager
async def following(*, setup=lambda at_work: None, **options):
    at_work = Following(**options)
    setup(at_work)
    running = asyncio.create_task(at_work.follower.run(at_work.wanted, at_work.stop))
    try:
        yield at_work
    finally:
        at_work.stop.set()
        await asyncio.wait_for(running, patience(2))
        assert at_work.feed.closed


def ten_candles(at_work):
    for number in range(10):
        at_work.feed.add_candle(number)


async def test_new_series_begins_with_the_wanted_history():
    async with following(setup=ten_candles) as it:
        await it.reached(9)
        assert [candle.candle_time for candle in stored(it.ports)] == [at(n) for n in range(5, 10)]


async def test_new_series_has_its_newest_page_first():
    async with following(setup=ten_candles, page=2) as it:
        await eventually(lambda: len(stored(it.ports)) == 5)
        # So the head was never an old one.
        await it.announces(8, 9)
        assert it.fresh == [at(8), at(9)]
        it.assert_true_to_the_exchange()


async def test_candle_that_is_streamed_before_the_newest_page_leaves_no_hole():
    def streamed_while_a_read_fails(at_work):
        ten_candles(at_work)
        at_work.feed.faults = [FeedError("503")]
        at_work.feed.send_closed(candle_at(5))

    limits = replace(FAST, recheck_candles=0)
    async with following(setup=streamed_while_a_read_fails, page=2, limits=limits) as it:
        await eventually(lambda: len(stored(it.ports)) == 5, 1.0)
        it.assert_true_to_the_exchange()
        assert it.ports.ledger.entries(SERIES) == []


def always_failing_after_the_first_page(at_work):
    ten_candles(at_work)
    at_work.feed.faults = [None, *[FeedError("gone")] * 1000]


async def test_history_of_a_new_series_is_completed_by_the_next_job():
    async with following(setup=always_failing_after_the_first_page, page=2) as it:
        await it.reached(9)
        await eventually(lambda: len(it.feed.reads) > 2)
        assert len(stored(it.ports)) == 2
    async with following(setup=ten_candles, page=2, ports=it.ports) as again:
        await eventually(lambda: len(stored(again.ports)) == 5)
        again.assert_true_to_the_exchange()


async def test_live_candles_are_stored_while_the_history_of_a_new_series_fails():
    async with following(setup=always_failing_after_the_first_page, page=2) as it:
        await it.reached(9)
        it.stream(10)
        await it.reached(10)


async def test_older_series_is_not_extended():
    def short(at_work):
        ten_candles(at_work)
        at_work.ports.committer.pipeline.ingest(SERIES, [candle_at(8)])

    limits = replace(FAST, recheck_candles=0)
    async with following(setup=short, limits=limits) as it:
        await it.reached(9)
        await it.first_message()
        assert it.ports.store.first(SERIES) == at(8)


async def test_known_series_is_filled_from_its_head():
    def stopped_at_two(at_work):
        ten_candles(at_work)
        at_work.ports.committer.pipeline.ingest(SERIES, [candle_at(n) for n in range(3)])

    async with following(setup=stopped_at_two) as it:
        await it.reached(9)
        it.assert_true_to_the_exchange()
        assert it.fresh == [at(n) for n in range(3, 10)]


async def test_start_up_sync_lets_a_short_series_reach_back():
    def short(at_work):
        ten_candles(at_work)
        at_work.ports.committer.pipeline.ingest(SERIES, [candle_at(8)])

    limits = FollowLimits(new_series_candles=5, sync_candles=7, tick_s=0.02, recheck_candles=0)
    async with following(setup=short, limits=limits) as it:
        await eventually(lambda: it.ports.store.first(SERIES) == at(3))
        it.assert_true_to_the_exchange()
        await eventually(lambda: lease_store().progress(SERIES).note == "startup_sync_done")
        progress = lease_store().progress(SERIES)
        assert (progress.state, progress.reason) == ("succeeded", "startup_sync")


async def test_start_up_sync_that_fails_is_reported():
    def failing(at_work):
        ten_candles(at_work)
        at_work.feed.faults = [FeedError("no answer")] * 100

    limits = FollowLimits(new_series_candles=5, sync_candles=7, tick_s=0.02, recheck_candles=0)
    async with following(setup=failing, limits=limits):
        # Other tests may have left a progress of the series.
        await eventually(lambda: lease_store().progress(SERIES).error == "no answer")
        progress = lease_store().progress(SERIES)
        assert (progress.state, progress.reason) == ("failed", "startup_sync")


async def test_live_candles_wait_for_history_that_is_still_read():
    def held_up(at_work):
        ten_candles(at_work)
        at_work.feed.gate = asyncio.Event()

    async with following(setup=held_up) as it:
        await eventually(lambda: it.feed.reads)
        it.stream(10)
        it.stream(11)
        await asyncio.sleep(0.05)
        assert it.head is None
        it.feed.gate.set()
        await it.reached(11)
        assert it.fresh == [at(n) for n in range(7, 12)] or it.fresh == [
            at(n) for n in range(5, 12)
        ]
        it.assert_true_to_the_exchange()


async def test_live_candle_that_joins_needs_no_rest():
    async with following(setup=ten_candles) as it:
        await it.reached(9)
        await it.first_message()
        it.stream(10)
        await it.reached(10)
        assert len(it.feed.reads) == 2


async def test_candle_missing_in_the_stream_is_read_before_the_next_is_stored():
    async with following(setup=ten_candles) as it:
        await it.reached(9)
        it.feed.add_candle(10)
        it.stream(11)
        await it.reached(11)
        await it.announces(10, 11)


async def test_candle_that_the_exchange_lacks_becomes_a_quiet_gap():
    async with following(setup=ten_candles) as it:
        await it.reached(9)
        it.stream(12)
        await it.reached(12)
        [gap] = await _entries(it, 1)
        assert (gap.from_time, gap.to_time, gap.state) == (at(10), at(11), GapState.QUIET)


async def test_live_candles_flow_behind_what_is_too_old_for_the_exchange():
    def stopped_long_ago(at_work):
        at_work.ports.committer.pipeline.ingest(SERIES, [candle_at(-900)])
        ten_candles(at_work)
        at_work.feed.served_from = at(4)

    async with following(setup=stopped_long_ago) as it:
        await it.reached(9)
        await it.first_message()
        it.stream(10)
        await it.reached(10)
        await it.announces(*range(4, 11))
        [_, gap] = await _entries(it, 2)
        assert (gap.from_time, gap.to_time) == (at(-899), at(3))
        assert (gap.state, gap.reason) == (GapState.UNSERVED, "at most 720 candles")
        await eventually(lambda: it.reports[SERIES].state == "running")
        report = it.reports[SERIES]
        assert (report.crashes, report.last_error) == (0, None)


async def test_new_series_begins_with_what_is_served_and_shows_why_there_is_no_more():
    def short_of_history(at_work):
        ten_candles(at_work)
        at_work.feed.served_from = at(7)

    limits = FollowLimits(new_series_candles=5, sync_candles=8, tick_s=0.02, recheck_candles=0)
    async with following(setup=short_of_history, limits=limits) as it:
        await it.reached(9)
        it.stream(10)
        await it.reached(10)
        assert [candle.candle_time for candle in stored(it.ports)] == [at(n) for n in range(7, 11)]
        await eventually(lambda: lease_store().progress(SERIES).error == "at most 720 candles")
        [gap] = it.ports.ledger.entries(SERIES)
        assert (gap.to_time, gap.state) == (at(6), GapState.UNSERVED)


async def test_refusal_of_older_history_stops_no_live_candle():
    def refusing(at_work):
        ten_candles(at_work)
        at_work.ports.committer.pipeline.ingest(SERIES, [candle_at(9)])
        at_work.feed.refuses_before = at(8)

    limits = FollowLimits(new_series_candles=5, sync_candles=8, tick_s=0.02, recheck_candles=0)
    async with following(setup=refusing, limits=limits) as it:
        await it.reached(9)
        await eventually(lambda: lease_store().progress(SERIES).error == "no such symbol")
        it.stream(10)
        await it.reached(10)
        await eventually(lambda: it.reports[SERIES].state == "running")


async def test_hole_that_rest_never_reaches_is_left_open_after_some_reads():
    limits = FollowLimits(
        new_series_candles=5, hole_reads=2, overdue_s=0.02, longest_overdue_s=0.02, tick_s=0.02
    )
    async with following(setup=ten_candles, limits=limits) as it:
        await it.reached(9)
        # The stream is ahead of REST, which knows neither this candle nor those before it.
        it.feed.send_closed(candle_at(12))
        await it.reached(12)
        [gap] = await _entries(it, 1)
        assert (gap.from_time, gap.to_time, gap.state) == (at(10), at(11), GapState.OPEN)


async def _entries(it, count):
    await eventually(lambda: len(it.ports.ledger.entries(SERIES)) == count)
    return it.ports.ledger.entries(SERIES)


async def test_missing_candle_shows_by_the_next_ones_forming_state():
    async with following(setup=ten_candles) as it:
        await it.reached(9)
        it.feed.add_candle(10)
        it.feed.send_forming(candle_at(11))
        await it.reached(10)
        await eventually(lambda: it.ports.publisher.forming[-1:] == [(SERIES, candle_at(11))])


async def test_missing_candle_shows_by_the_clock_when_the_stream_is_silent():
    async with following(setup=ten_candles) as it:
        await it.reached(9)
        it.feed.add_candle(10)
        it.feed.time += 1
        it.feed.send_forming(candle_at(9))
        await it.reached(10)


async def test_candle_corrected_far_behind_the_head_is_corrected_here():
    def corrected_long_ago(at_work):
        ten_candles(at_work)
        at_work.ports.committer.pipeline.ingest(SERIES, [candle_at(n) for n in range(10)])
        at_work.feed.add_candle(1, price=77.0)

    pace = RevisionPace(interval_s=60.0, poll_s=0.01, page_pause_s=0.0)
    async with following(setup=corrected_long_ago, revision_pace=pace) as it:
        await eventually(lambda: stored(it.ports)[1] == candle_at(1, 77.0))
        it.assert_true_to_the_exchange()


async def test_duplicates_and_old_candles_change_nothing():
    async with following(setup=ten_candles) as it:
        await it.reached(9)
        for number in (10, 10, 8, 10, 9):
            it.stream(number)
        it.stream(11)
        await it.reached(11)
        it.assert_true_to_the_exchange()
        assert it.ports.store.state(SERIES).epoch == 0
        assert it.fresh == sorted(set(it.fresh))


async def test_final_candles_in_the_wrong_order_are_stored_in_the_right_one():
    async with following(setup=ten_candles) as it:
        await it.reached(9)
        ten, eleven = it.feed.add_candle(10), it.feed.add_candle(11)
        it.feed.send_closed(eleven)
        it.feed.send_closed(ten)
        await it.reached(11)
        await it.announces(10, 11)


async def test_late_final_candle_that_differs_is_a_revision():
    async with following(setup=ten_candles) as it:
        await it.reached(9)
        it.stream(8, price=200.0)
        await eventually(lambda: it.ports.store.state(SERIES).epoch == 1)
        it.assert_true_to_the_exchange()


async def test_correction_during_an_interruption_is_noticed():
    async with following(setup=ten_candles) as it:
        await it.reached(9)
        it.feed.add_candle(7, price=300.0)
        it.feed.send_interrupted()
        await eventually(lambda: it.ports.store.state(SERIES).epoch == 1)
        it.assert_true_to_the_exchange()


@pytest.mark.parametrize("is_lost", [False, True])
async def test_correction_before_the_stream_spoke_is_noticed_when_it_speaks(is_lost):
    async with following(setup=ten_candles) as it:
        await it.reached(9)
        if is_lost:
            await it.first_message()
            it.feed.send_interrupted()
            await eventually(lambda: len(it.feed.reads) == 3)
        it.feed.add_candle(9, price=300.0)
        it.stream(10)
        await eventually(lambda: it.ports.store.state(SERIES).epoch == 1)
        it.assert_true_to_the_exchange()


async def test_correction_is_noticed_by_the_regular_check():
    limits = FollowLimits(new_series_candles=5, recheck_s=0.05, tick_s=0.02)
    async with following(setup=ten_candles, limits=limits) as it:
        await it.reached(9)
        it.feed.add_candle(6, price=300.0)
        await eventually(lambda: it.ports.store.state(SERIES).epoch == 1)


async def test_finals_that_arrive_together_are_one_batch():
    limits = FollowLimits(new_series_candles=5, flush_s=0.2, tick_s=0.02)
    async with following(setup=ten_candles, limits=limits) as it:
        await it.reached(9)
        await it.first_message()
        it.stream(10)
        await it.reached(10)
        for number in range(11, 16):
            it.stream(number)
        await it.reached(15)
        assert [len(batch) for batch in it.ports.committer.pipeline.batches[-2:]] == [1, 5]


async def test_batches_have_a_size_limit():
    limits = FollowLimits(new_series_candles=5, flush_s=60.0, batch_max=2, tick_s=0.02)
    async with following(setup=ten_candles, limits=limits) as it:
        await it.reached(9)
        await it.first_message()
        it.stream(10)
        await it.reached(10)
        for number in range(11, 15):
            it.stream(number)
        await it.reached(14)
        assert [len(batch) for batch in it.ports.committer.pipeline.batches[-2:]] == [2, 2]


async def test_forming_is_paced_and_ends_with_the_newest_state():
    limits = FollowLimits(new_series_candles=5, forming_interval_s=0.5, tick_s=0.02)
    async with following(setup=ten_candles, limits=limits) as it:
        await it.reached(9)
        await it.first_message()
        for price in range(100, 120):
            it.feed.send_forming(candle_at(10, price))
            await asyncio.sleep(0)
        await eventually(lambda: it.ports.publisher.forming[-1:] == [(SERIES, candle_at(10, 119))])
        # One at once, if the machine gets to it before the others come, and the newest.
        assert len(it.ports.publisher.forming) <= 2


async def test_forming_of_an_unwatched_series_is_not_announced():
    watched = set()
    async with following(setup=ten_candles, is_watched=watched.__contains__) as it:
        await it.reached(9)
        it.feed.send_forming(candle_at(10, 150))
        it.stream(10)
        await it.reached(10)
        watched.add(SERIES)
        it.feed.send_forming(candle_at(11))
        await eventually(lambda: it.ports.publisher.forming)
        assert it.ports.publisher.forming == [(SERIES, candle_at(11))]


async def test_forming_never_follows_the_close_of_its_candle():
    async with following(setup=ten_candles) as it:
        await it.reached(9)
        it.feed.send_forming(candle_at(10, 150))
        await eventually(lambda: it.ports.publisher.forming)
        it.stream(10)
        it.feed.send_forming(candle_at(10, 151))
        it.feed.send_forming(candle_at(11))
        await eventually(lambda: ("forming", at(11)) in it.ports.publisher.order)
        order = it.ports.publisher.order
        assert order[-3:] == [("forming", at(10)), ("closed", at(10)), ("forming", at(11))]


async def test_rest_failure_is_tried_again_and_reported():
    def failing(at_work):
        ten_candles(at_work)
        at_work.feed.faults = [FeedError("503"), FeedError("503")]

    async with following(setup=failing) as it:
        await it.reached(9)
        await eventually(lambda: it.reports[SERIES].state == "running")
        report = it.reports[SERIES]
        assert (report.crashes, report.last_error) == (2, "503")
        assert "waiting" in it.states
        assert report.guardrail["state"] == "closed"


async def test_halted_market_and_dropped_rows_show_in_the_report():
    async with following(setup=ten_candles) as it:
        await it.reached(9)
        await eventually(lambda: it.reports[SERIES].state == "running")
        before = it.reports[SERIES]
        assert (before.is_halted, before.refused_rows, before.last_error) == (False, 0, None)
        it.feed.halted = frozenset({SERIES})
        refused_rows().note(SERIES, 5, "off the grid of 1m: 61 s")
        await eventually(lambda: it.reports[SERIES].refused_rows == 5)
        report = it.reports[SERIES]
        assert report.is_halted and report.refused_at is not None
        assert report.last_error == "rows refused: off the grid of 1m: 61 s"
        assert report.state == "running"
        # Listings are wrong at times: a market that is traded is not halted.
        it.stream(10)
        await eventually(lambda: not it.reports[SERIES].is_halted)


async def test_report_has_why_a_series_is_polled():
    async with following(setup=ten_candles) as it:
        await it.reached(9)
        assert it.reports[SERIES].polled is None
        it.feed.sources[SERIES] = Source(SourceKind.POLL, "refused: too many")
        await eventually(lambda: it.reports[SERIES].polled == "refused: too many")
        it.feed.sources[SERIES] = Source(SourceKind.STREAM)
        await eventually(lambda: it.reports[SERIES].polled is None)


async def test_rest_failure_does_not_hold_up_candles_that_join():
    async with following(setup=ten_candles) as it:
        await it.reached(9)
        it.feed.faults = [FeedError("503")] * 1000
        it.feed.send_interrupted()
        await eventually(lambda: it.reports[SERIES].crashes)
        it.stream(10)
        await it.reached(10)


async def test_exchange_that_asks_for_a_pause_gets_it():
    def limited(at_work):
        ten_candles(at_work)
        at_work.feed.faults = [RateLimited("429", 3600.0)]

    async with following(setup=limited) as it:
        await eventually(lambda: "waiting" in it.states)
        reported = len(it.states)
        await eventually(lambda: len(it.states) >= reported + 3)
        assert len(it.feed.reads) == 1
        report = it.reports[SERIES]
        assert (report.state, report.last_error, report.crashes) == ("waiting", "429", 0)


async def test_failed_write_is_repeated_and_loses_nothing():
    async with following(setup=ten_candles) as it:
        await it.reached(9)
        it.ports.committer.pipeline.faults = [PipelineError("factor.ingest", SERIES)] * 3
        for number in range(10, 13):
            it.stream(number)
        await it.reached(12)
        it.assert_true_to_the_exchange()
        assert it.reports[SERIES].crashes == 3
        assert it.fresh == sorted(set(it.fresh))


async def test_unexpected_exception_is_a_failure_like_others():
    async with following(setup=ten_candles) as it:
        await it.reached(9)
        it.ports.committer.pipeline.faults = [ZeroDivisionError("a bug")]
        it.stream(10)
        await it.reached(10)
        assert it.reports[SERIES].crashes == 1


async def test_breaker_that_opens_shows_in_the_report():
    def failing(at_work):
        ten_candles(at_work)
        at_work.feed.faults = [FeedError("503")] * 5

    async with following(setup=failing) as it:
        await eventually(lambda: "open_breaker" in it.states)
        await it.reached(9)


async def test_stream_that_is_back_ends_the_wait_for_rest():
    patient = BreakerConfig(backoff_initial_s=60, backoff_max_s=60, open_cooldown_s=60)
    async with following(setup=ten_candles, new_breaker=lambda: Breaker(patient)) as it:
        await it.reached(9)
        it.feed.faults = [FeedError("503")]
        it.feed.add_candle(10)
        it.feed.add_candle(11)
        it.feed.send_interrupted()
        await eventually(lambda: it.reports[SERIES].crashes == 1)
        it.stream(12)
        await it.reached(12)
        it.assert_true_to_the_exchange()


def store_away(error):
    """A failed write as the pipeline raises it."""
    failure = PipelineError("store.upsert_many_closed", SERIES)
    failure.__cause__ = error
    return failure


@pytest.mark.parametrize(
    "error", [OperationalError("no space left on device"), InterfaceError("connection closed")]
)
async def test_unavailable_store_opens_no_breaker(error):
    async with following(setup=ten_candles) as it:
        await it.reached(9)
        it.ports.committer.pipeline.faults = [store_away(error)] * 10
        it.stream(10)
        await it.reached(10)
        assert it.reports[SERIES].crashes == 10
        assert "open_breaker" not in it.states
        it.assert_true_to_the_exchange()


async def test_lost_ownership_ends_the_series_and_stores_nothing():
    async with following(setup=ten_candles) as it:
        await it.reached(9)
        it.ports.store.next_fence(SERIES)
        it.stream(10)
        await asyncio.sleep(0.1)
        assert it.head == at(9)


async def test_new_token_begins_anew():
    async with following(setup=ten_candles) as it:
        await it.reached(9)
        it.tokens = {SERIES: it.ports.store.next_fence(SERIES)}
        it.feed.add_candle(10)
        await it.reached(10)


async def test_series_no_longer_wanted_is_left():
    async with following(setup=ten_candles) as it:
        await it.reached(9)
        it.tokens = {}
        await eventually(lambda: it.feed.followed == frozenset())
        it.stream(10)
        await asyncio.sleep(0.05)
        assert it.head == at(9)


async def test_unknown_wishes_leave_all_as_it_is():
    async with following(setup=ten_candles) as it:
        await it.reached(9)
        it.tokens = None
        it.stream(10)
        await it.reached(10)


async def test_refused_series_is_reported_and_disturbs_no_other():
    refused = SeriesId.parse("binance:spot:NO/SUCH:1m")
    async with following(setup=ten_candles, series=(SERIES, refused)) as it:
        await it.reached(9)
        await eventually(lambda: it.reports[refused].last_error == "no such symbol")
        reads = sum(series == refused for series, _, _ in it.feed.reads)
        it.stream(10)
        await it.reached(10)
        assert reads == 1


async def test_series_that_other_processes_derive_is_not_followed():
    def derived(at_work):
        ten_candles(at_work)
        with at_work.ports.store.writing(SERIES) as writer:
            writer.mark_derived()

    async with following(setup=derived) as it:
        await eventually(lambda: SERIES in it.reports and it.reports[SERIES].state == "waiting")
        assert it.reports[SERIES].last_error.startswith(f"derived_series: {SERIES}")
        reads = len(it.feed.reads)
        it.stream(10)
        await asyncio.sleep(0)
        assert it.ports.store.state(SERIES).head is None
        assert len(it.feed.reads) == reads


async def test_slow_series_does_not_hold_up_another():
    async with following(setup=ten_candles, series=(SERIES,)) as it:
        await it.reached(9)
        it.feed.gate = asyncio.Event()
        it.tokens[OTHER] = it.ports.store.next_fence(OTHER)
        await eventually(lambda: any(series == OTHER for series, _, _ in it.feed.reads))
        it.stream(10)
        await it.reached(10)


async def test_more_held_candles_than_allowed_are_read_over_rest():
    limits = FollowLimits(new_series_candles=5, held_max=4, tick_s=0.02, flush_s=0.0)

    def held_up(at_work):
        ten_candles(at_work)
        at_work.feed.gate = asyncio.Event()

    async with following(setup=held_up, limits=limits) as it:
        await eventually(lambda: it.feed.reads)
        for number in range(10, 30):
            it.stream(number)
        it.feed.gate.set()
        await it.reached(29)
        it.assert_true_to_the_exchange()


async def test_stop_ends_in_the_middle_of_a_read():
    async with following(setup=ten_candles) as it:
        it.feed.gate = asyncio.Event()
        await eventually(lambda: it.feed.reads)
    assert it.head is None


@pytest.mark.parametrize("number", [10, 11])
async def test_quiet_series_that_is_empty_takes_the_first_candle_it_gets(number):
    async with following() as it:
        await eventually(lambda: it.feed.reads)
        it.feed.send_closed(Candle(at(number), 1, 1, 1, 1, 0))
        it.feed.time = at(number) + 2 * STEP
        await it.reached(number)


async def test_stopping_repeats_a_cancellation_that_was_swallowed():
    async def stubborn():
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(60)
        await asyncio.sleep(60)

    task = asyncio.create_task(stubborn())
    await asyncio.sleep(0)
    await stop([task])
    assert task.cancelled()


async def test_history_of_pinned_series_does_not_wait_for_that_of_others():
    others = [SeriesId.parse(f"binance:spot:X{n}/USDT:1m") for n in range(READERS)]

    def stalled(at_work):
        # Reads of the others never end.
        at_work.feed.gates = dict.fromkeys(others, asyncio.Event())
        at_work.feed.add_candle(9)

    series = (*others, SERIES)
    pinned = SERIES.__eq__
    async with following(setup=stalled, series=series, is_pinned=pinned) as it:
        await it.reached(9)
        assert it.feed.pinned == {SERIES}
