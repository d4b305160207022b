"""A follow job: ownership of a group, fencing tokens, reports, and how it ends."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest
from django.db import OperationalError

from lab.waiting import eventually, patience
from market.domain.candle import Candle
from market.domain.feed import FeedError, FeedRefused
from market.domain.lease_store import Group, JobReport, LeaseStoreUnavailable
from market.domain.series import SeriesId
from market.domain.store import StaleFence
from market.ingest import follow_job
from market.ingest.follow_job import FollowJob, JobPorts, start_marker
from market.ingest.followed import Standing
from market.ingest.lease_store_memory import MemoryLeaseStore
from market.ingest.tests.outage import Outage
from market.pipeline import Pipeline
from market.stores.memory import MemoryCandleStore
from market.tests.builders import ReplacedStore

BTC = SeriesId.parse("sim:spot:BTC/USDT:1m")
ETH = SeriesId.parse("sim:spot:ETH/USDT:1m")
GROUP = Group("sim", "spot")
CANDLE = Candle(60, 1.0, 2.0, 0.5, 1.5, 10.0)
MINUTES = 60.0


class FakeFollower:
    """Calls `wanted` again and again, reports each series, and raises `failure` if set."""

    def __init__(self, report, standings, failure=None):
        self._report = report
        self.is_watched = lambda series: standings(series).is_watched
        self._failure = failure
        self.tokens = {}

    async def run(self, wanted, stop):
        while not stop.is_set():
            self.tokens = dict(await wanted())
            for series in self.tokens:
                self._report(series, JobReport(state="running", started_at=1.0))
            if self._failure is not None:
                raise self._failure
            await asyncio.sleep(0.01)


class Bench:
    """A lease store, a store and what is desired, shared by the jobs of a test."""

    def __init__(self):
        self.skipped_s = 0.0
        self.leases = MemoryLeaseStore(lambda: time.time() + self.skipped_s)
        self.outage = Outage(self.leases)
        self.store = ReplacedStore()
        self.desired = [BTC]
        self.unwatched = set()
        self.pinned = set()
        self.followers = []
        self.stopped = False
        self.failure = None

    def job(self, *, ttl=30.0, max_seconds=MINUTES):
        """A job as a task; its follower joins `followers`."""
        ports = JobPorts(
            leases=self.outage,
            store=self.store,
            desired=self._desired,
            open_follower=self._open,
            ttl=ttl,
        )
        job = FollowJob(GROUP, ports)
        return asyncio.create_task(job.run(stopping=lambda: self.stopped, max_seconds=max_seconds))

    def _desired(self):
        if self.desired is None:
            raise LeaseStoreUnavailable("away")
        return {
            each: Standing(is_watched=each not in self.unwatched, is_pinned=each in self.pinned)
            for each in self.desired
        }

    def _open(self, report, standings):
        self.followers.append(FakeFollower(report, standings, self.failure))
        return self.followers[-1]

    def lose_lock(self):
        """Let the lock expire, as in a process that was suspended."""
        self.skipped_s += 3600.0

    def take_lock(self):
        """Become the owner in place of the job."""
        self.lose_lock()
        return self.leases.take_group(GROUP, "another job", ttl=1e6)

    def tokens(self, follower=-1):
        return self.followers[follower].tokens if self.followers else {}


@pytest.fixture
async def bench():
    bench = Bench()
    yield bench
    bench.stopped = True


async def ended(job):
    async with asyncio.timeout(patience(5)):
        return await job


async def test_job_owns_its_group_and_reports_until_it_is_stopped(bench):
    job = bench.job()
    await eventually(lambda: bench.leases.reports([BTC]))
    assert bench.leases.owned_groups([GROUP]) == {GROUP}
    bench.stopped = True
    assert await ended(job) is False
    assert bench.leases.owned_groups([GROUP]) == set()
    assert bench.leases.reports([BTC]) == {}


async def test_second_job_of_a_group_ends_at_once(bench):
    first = bench.job()
    await eventually(bench.tokens)
    assert await ended(bench.job()) is False
    assert len(bench.followers) == 1 and not first.done()
    bench.stopped = True
    await ended(first)


async def test_job_knows_what_is_watched_and_assumes_it_during_an_outage(bench):
    bench.unwatched = {BTC}
    job = bench.job()
    await eventually(bench.tokens)
    assert not bench.followers[-1].is_watched(BTC)
    bench.unwatched = set()
    await eventually(lambda: bench.followers[-1].is_watched(BTC))
    bench.unwatched = {BTC}
    await eventually(lambda: not bench.followers[-1].is_watched(BTC))
    bench.desired = None
    await eventually(lambda: bench.followers[-1].is_watched(BTC))
    bench.stopped = True
    await ended(job)


class LockHeld(Exception):
    """PostgreSQL's error after `lock_timeout`."""

    pgcode = "55P03"


class Busy(MemoryCandleStore):
    """A store in which another transaction holds the lock of some series."""

    def __init__(self):
        super().__init__()
        self.locked = set()

    def next_fence(self, series):
        if series in self.locked:
            raise OperationalError from LockHeld()
        return super().next_fence(series)


async def test_series_whose_lock_is_held_keeps_no_other_from_being_followed(bench):
    bench.store = Busy()
    bench.store.locked = {BTC}
    bench.desired = [BTC, ETH]
    job = bench.job()
    await eventually(lambda: bench.tokens().keys() == {ETH})
    await eventually(lambda: BTC in bench.leases.reports([BTC]))
    report = bench.leases.reports([BTC])[BTC]
    assert (report.state, report.last_error) == ("waiting", "another transaction holds its lock")
    bench.store.locked = set()
    await eventually(lambda: bench.tokens().keys() == {BTC, ETH})
    bench.desired = []
    await eventually(lambda: bench.tokens() == {})
    assert bench.leases.reports([BTC, ETH]) == {}
    bench.stopped = True
    await ended(job)


class Waiting(MemoryCandleStore):
    """A store in which tokens of some series wait until they are let go."""

    def __init__(self):
        super().__init__()
        self.waiting = set()
        self.let_go = threading.Event()

    def next_fence(self, series):
        if series in self.waiting:
            self.let_go.wait(patience())
        return super().next_fence(series)


async def test_pinned_series_is_followed_while_the_token_of_another_waits(bench):
    bench.store = Waiting()
    bench.store.waiting = {BTC}
    bench.desired, bench.pinned = [ETH, BTC], {ETH}
    job = bench.job()
    await eventually(lambda: bench.tokens().keys() == {ETH})
    bench.store.let_go.set()
    await eventually(lambda: bench.tokens().keys() == {BTC, ETH})
    bench.stopped = True
    await ended(job)


async def test_tokens_that_wait_do_not_hold_up_the_others_for_long(bench, monkeypatch):
    monkeypatch.setattr(follow_job, "DRAW_S", 0.0)
    bench.store = Busy()
    bench.store.locked = {BTC}
    bench.desired = [BTC, ETH]
    job = bench.job()
    await eventually(lambda: bench.tokens().keys() == {ETH})
    bench.stopped = True
    await ended(job)


async def test_job_follows_what_becomes_desired_and_leaves_what_is_not(bench):
    job = bench.job()
    await eventually(lambda: bench.tokens().keys() == {BTC})
    bench.desired = [BTC, ETH]
    await eventually(lambda: bench.tokens().keys() == {BTC, ETH})
    await eventually(lambda: bench.leases.reports([ETH]))
    bench.desired = [BTC]
    await eventually(lambda: bench.tokens().keys() == {BTC})
    assert bench.leases.reports([ETH]) == {}
    bench.stopped = True
    await ended(job)


async def test_job_asks_for_another_when_its_time_is_over(bench):
    assert await ended(bench.job(max_seconds=0.1)) is True
    assert bench.leases.owned_groups([GROUP]) == set()


async def test_job_ends_when_nothing_is_desired_any_more(bench, monkeypatch):
    monkeypatch.setattr(follow_job, "IDLE_END_S", 0.1)
    bench.desired = []
    assert await ended(bench.job()) is False


async def test_successor_of_a_dead_owner_makes_its_writes_impossible(bench):
    pipeline = Pipeline(bench.store)
    bench.leases.take_group(GROUP, "killed with -9", ttl=0.2)
    dead_fence = bench.store.next_fence(BTC)
    await eventually(lambda: not bench.leases.owned_groups([GROUP]))
    job = bench.job()
    await eventually(bench.tokens)
    with pytest.raises(StaleFence):
        pipeline.ingest(BTC, [CANDLE], fence=dead_fence)
    assert pipeline.ingest(BTC, [CANDLE], fence=bench.tokens()[BTC]).fresh == (CANDLE,)
    bench.stopped = True
    await ended(job)


async def test_job_that_was_replaced_ends(bench):
    job = bench.job(ttl=0.3)
    await eventually(bench.tokens)
    await eventually(bench.take_lock)
    assert await ended(job) is False
    assert bench.leases.owned_groups([GROUP]) == {GROUP}


async def test_job_whose_lock_vanished_takes_it_and_new_fences(bench):
    job = bench.job(ttl=0.3)
    await eventually(bench.tokens)
    old = bench.tokens()[BTC]
    bench.lose_lock()
    await eventually(lambda: bench.tokens()[BTC] > old)
    assert bench.leases.owned_groups([GROUP]) == {GROUP}
    bench.stopped = True
    await ended(job)


async def test_job_takes_new_fences_in_another_generation_of_the_store(bench):
    """The number may have been used already, in a past that is lost."""
    job = bench.job()
    await eventually(bench.tokens)
    old = bench.tokens()[BTC]
    bench.store.current = MemoryCandleStore()
    with pytest.raises(StaleFence):
        Pipeline(bench.store).ingest(BTC, [CANDLE], fence=old)
    await eventually(lambda: bench.tokens()[BTC].generation == bench.store.generation())
    assert bench.tokens()[BTC].number == old.number
    Pipeline(bench.store).ingest(BTC, [CANDLE], fence=bench.tokens()[BTC])
    bench.stopped = True
    await ended(job)


async def test_job_goes_on_without_the_lease_store(bench):
    job = bench.job(ttl=0.3)
    await eventually(lambda: bench.leases.reports([BTC]))
    bench.outage.is_on = True
    await eventually(lambda: not bench.leases.owned_groups([GROUP]))
    assert not job.done() and bench.tokens().keys() == {BTC}
    bench.outage.is_on = False
    await eventually(lambda: bench.leases.owned_groups([GROUP]))
    bench.stopped = True
    await ended(job)


@pytest.mark.parametrize(
    ("failure", "pause"),
    [
        (FeedError("exchange is down"), follow_job.RESTART_PAUSE_S),
        (FeedRefused("no such market"), follow_job.REFUSED_PAUSE_S),
    ],
)
async def test_failed_job_is_reported_and_not_restarted_at_once(bench, failure, pause):
    bench.failure = failure
    assert await ended(bench.job()) is False
    report = bench.leases.reports([BTC])[BTC]
    assert (report.state, report.crashes, report.last_error) == ("waiting", 1, str(failure))
    assert report.last_crash_at is not None
    assert not bench.leases.claim(start_marker(GROUP), ttl=pause)
    assert bench.leases.owned_groups([GROUP]) == set()
