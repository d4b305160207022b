"""The Celery tasks as functions; tests/test_tasks_processes.py runs them in real workers."""

from __future__ import annotations

import asyncio

import pytest
from celery import Celery, current_app
from django.db import OperationalError

from market import tasks
from market.domain.lease_store import Group, LeaseStoreUnavailable
from market.ingest import beat, dispatch
from market.ingest.follow_job import start_marker
from market.ingest.follow_loops import FollowLoops
from market.ingest.lease_store_memory import MemoryLeaseStore
from market.ingest.pools import QUEUES
from market.ingest.queues import MAX_AGE_S
from market.singletons import closed_by

GROUP = Group("sim", "spot")


class FakeJob:
    """Ends at once with the given answer."""

    answer = True
    runs = 0

    def __init__(self, group, ports):
        assert (group, ports) == (GROUP, f"ports of {GROUP}")

    async def run(self, *, stopping, max_seconds):
        assert not stopping() and max_seconds > 0
        FakeJob.runs += 1
        return FakeJob.answer


@pytest.fixture
def lease_store(monkeypatch):
    lease_store = MemoryLeaseStore()
    monkeypatch.setattr(tasks, "lease_store", lambda: lease_store)
    return lease_store


@pytest.fixture
def sent(monkeypatch):
    messages = []
    monkeypatch.setattr(
        dispatch, "send", lambda task, *arguments, expires: messages.append((task, *arguments))
    )
    return messages


@pytest.fixture
def pinned(monkeypatch):
    pinned = set()
    monkeypatch.setattr(tasks, "pinned_groups", lambda: pinned)
    return pinned


@pytest.fixture
def job(monkeypatch, pinned):
    monkeypatch.setattr(tasks, "FollowJob", FakeJob)
    monkeypatch.setattr(tasks, "runtime_ports", lambda group: f"ports of {group}")
    monkeypatch.setattr(FakeJob, "runs", 0)
    yield FakeJob
    tasks.follow_loops.reset()


def follow():
    """Run the task, and wait until the job that it started has ended."""
    tasks.follow(str(GROUP))
    tasks.follow_loops.reset()


@pytest.fixture
def stop(monkeypatch):
    """The worker's stop flag, down again after the test."""
    monkeypatch.setattr(tasks, "STOP", tasks.StopFlag())
    return tasks.request_stop


def test_follow_hands_over_when_its_time_is_over(job, lease_store, sent):
    follow()
    assert sent == [(dispatch.FOLLOW, str(GROUP))]
    assert lease_store.is_claimed(start_marker(GROUP))


def test_stopping_worker_asks_for_a_successor_at_once(job, lease_store, sent, stop, monkeypatch):
    async def run(self, *, stopping, max_seconds):
        stop()
        return False

    monkeypatch.setattr(FakeJob, "run", run)
    follow()
    assert sent == [(dispatch.FOLLOW, str(GROUP))]


def test_follow_hands_over_once_when_another_was_asked_for(job, lease_store, sent):
    lease_store.claim(start_marker(GROUP), ttl=30)
    follow()
    assert sent == []


def test_follow_that_ended_for_good_asks_for_no_other(job, lease_store, sent, monkeypatch):
    monkeypatch.setattr(FakeJob, "answer", False)
    follow()
    assert sent == []


def test_follow_that_is_delivered_to_a_stopping_worker_is_passed_on_once(
    job, lease_store, sent, stop
):
    lease_store.claim(start_marker(GROUP), ttl=30)
    stop()
    follow()
    assert sent == [(dispatch.FOLLOW, str(GROUP))]
    assert lease_store.is_claimed(start_marker(GROUP))
    # A worker that is alone gets it back: the next reconcile asks.
    follow()
    assert len(sent) == 1
    assert FakeJob.runs == 0
    assert not lease_store.is_claimed(start_marker(GROUP))


@pytest.mark.parametrize("ask", [follow, lambda: backfill_of_a_minute()])
def test_guarded_reader_neither_follows_nor_fetches(job, lease_store, monkeypatch, switched, ask):
    async def fetch(*arguments, **options):
        raise AssertionError("fetched")

    monkeypatch.setattr(tasks.coverage, "backfill_range", fetch)
    switched(enable_ingest_role_guard=True, ingest_role="read")
    ask()
    assert FakeJob.runs == 0


def backfill_of_a_minute():
    tasks.backfill("sim:spot:BTC/USDT:1m", 60, 60)


def test_worker_that_is_full_declines_so_that_another_can_be_asked(
    job, pinned, lease_store, monkeypatch
):
    monkeypatch.setattr(tasks, "follow_loops", closed_by(FollowLoops.close)(no_room))
    lease_store.claim(start_marker(GROUP), ttl=30)
    follow()
    assert FakeJob.runs == 0
    assert not lease_store.is_claimed(start_marker(GROUP))
    pinned.add(GROUP)
    follow()
    assert FakeJob.runs == 1


def no_room():
    return FollowLoops(tasks._follow, hand_over=lambda group: None, limit=0)


def test_worker_that_can_not_read_the_whitelist_declines(job, lease_store, monkeypatch):
    def away():
        raise OperationalError("away")

    monkeypatch.setattr(tasks, "pinned_groups", away)
    lease_store.claim(start_marker(GROUP), ttl=30)
    follow()
    assert FakeJob.runs == 0
    assert not lease_store.is_claimed(start_marker(GROUP))


def test_reconcile_runs_once_however_many_beats_ask(lease_store, monkeypatch):
    runs = []
    monkeypatch.setattr(tasks.supervisor, "reconcile", lambda: runs.append(1) or [])
    for _ in range(5):
        tasks.reconcile()
    assert len(runs) == 1


def test_hand_over_is_left_to_reconcile_without_the_lease_store(job, sent, monkeypatch):
    class Away:
        def claim(self, name, *, ttl):
            raise LeaseStoreUnavailable("away")

    monkeypatch.setattr(tasks, "lease_store", Away)
    follow()
    assert sent == []


def test_reconcile_survives_an_unreachable_lease_store(lease_store, monkeypatch, caplog):
    def away():
        raise LeaseStoreUnavailable("gone fishing")

    monkeypatch.setattr(tasks.supervisor, "reconcile", away)
    tasks.reconcile()
    assert "gone fishing" in caplog.text


def test_backfill_is_broken_off_when_the_worker_stops(monkeypatch, stop):
    ended = []

    async def endless(series, start, end, *, reason):
        try:
            stop()
            await asyncio.sleep(3600)
        finally:
            ended.append((str(series), start, end, reason))

    monkeypatch.setattr(tasks.coverage, "backfill_range", endless)
    tasks.backfill("sim:spot:BTC/USDT:1m", 60, 120, "gap")
    assert ended == [("sim:spot:BTC/USDT:1m", 60, 120, "gap")]


def test_failure_of_a_backfill_is_the_tasks_failure(monkeypatch):
    async def fail(series, start, end, *, reason):
        raise ValueError("unforeseen")

    monkeypatch.setattr(tasks.coverage, "backfill_range", fail)
    with pytest.raises(ValueError, match="unforeseen"):
        tasks.backfill("sim:spot:BTC/USDT:1m", 60, 120)


def test_gaps_are_not_repaired_by_a_guarded_reader_or_a_stopping_worker(
    monkeypatch, switched, stop
):
    repairs = []

    async def repair(*, stopping):
        repairs.append(stopping())

    monkeypatch.setattr(tasks.coverage, "repair_due", repair)
    tasks.repair_gaps()
    switched(enable_ingest_role_guard=True, ingest_role="read")
    tasks.repair_gaps()
    switched(enable_ingest_role_guard=False)
    stop()
    tasks.repair_gaps()
    assert repairs == [False]


def test_schedule_names_real_tasks_and_their_queues_where_beat_looks():
    assert current_app.conf.beat_schedule == beat.SCHEDULE
    queues = {queue.name for queue in current_app.conf.task_queues}
    assert set(QUEUES) == set(MAX_AGE_S) == queues
    for entry in beat.SCHEDULE.values():
        assert entry["task"] in current_app.tasks
        assert entry["options"]["queue"] == dispatch.QUEUE_OF[entry["task"]]
        assert entry["options"]["expires"] >= entry["schedule"].seconds


def test_unreachable_broker_is_an_answer_and_no_error(monkeypatch):
    unreachable = Celery(broker="redis://127.0.0.1:1/0", set_as_current=False)
    monkeypatch.setattr(dispatch, "current_app", unreachable)
    unreachable.conf.broker_transport_options = {"max_retries": 1, "interval_start": 0}
    assert dispatch.send(dispatch.FOLLOW, str(GROUP), expires=1) is False
    unreachable.close()
