"""Batches that queue while a commit runs are committed together; no batch waits for others."""

from __future__ import annotations

import asyncio
import threading
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from lab.waiting import patience
from market import blocking, committer
from market.committer import Committer
from market.costs import Cost
from market.domain.series import SeriesId
from market.domain.store import StaleFence
from market.pipeline import Pipeline, PipelineError
from market.stores.memory import MemoryCandleStore
from market.tests.builders import MINUTE, candle

SERIES = [SeriesId.parse(f"binance:spot:C{number}/USDT:1m") for number in range(30)]


class HeldStore(MemoryCandleStore):
    """Records the series of each transaction; transactions of `MINUTE` wait until `go` is set."""

    def __init__(self):
        super().__init__()
        self.transactions = []
        self.entered, self.go = threading.Event(), threading.Event()

    def writing(self, series, **options):
        self.transactions.append([series])
        if series == MINUTE:
            self.entered.set()
            assert self.go.wait(patience(20))
        return super().writing(series, **options)

    def writing_group(self, fences):
        self.transactions.append(list(fences))
        return super().writing_group(fences)


class Stage:
    """Fails for one series."""

    name = "stage"

    def apply(self, writer, change):
        if writer.series == SERIES[3]:
            raise RuntimeError("broken")
        return ()


@pytest.fixture
def store():
    return HeldStore()


@asynccontextmanager
async def held_back(store, monkeypatch, *stages):
    """A committer whose only commit is under way; it ends with the block."""
    monkeypatch.setattr(committer, "AT_ONCE", 1)
    commits = Committer(Pipeline(store, stages))
    first = asyncio.create_task(commits.ingest(MINUTE, [candle(60)]))
    try:
        assert await asyncio.to_thread(store.entered.wait, patience(20))
        yield commits
    finally:
        store.go.set()
        await first


async def queued(commits, calls):
    """Tasks of calls that have all queued."""
    tasks = [asyncio.create_task(commits.ingest(*each)) for each in calls]
    await asyncio.sleep(0)
    return tasks


async def test_single_batch_is_committed_by_itself(store):
    change = await Committer(Pipeline(store)).ingest(SERIES[0], [candle(60)])
    assert change.fresh == (candle(60),)
    assert store.transactions == [[SERIES[0]]]


async def test_what_queues_during_a_commit_is_committed_together(store, monkeypatch):
    async with held_back(store, monkeypatch) as commits:
        tasks = await queued(commits, [(series, [candle(60)]) for series in SERIES])
    changes = await asyncio.gather(*tasks)
    assert [change.series for change in changes] == SERIES
    assert store.transactions == [[MINUTE], SERIES]


async def test_batches_of_one_series_keep_their_order(store, monkeypatch):
    async with held_back(store, monkeypatch) as commits:
        calls = [(series, [candle(time)]) for time in (60, 120, 60) for series in SERIES[:2]]
        tasks = await queued(commits, [*calls, (MINUTE, [candle(120)])])
    changes = await asyncio.gather(*tasks)
    assert [len(change.fresh) for change in changes] == [1, 1, 1, 1, 0, 0, 1]
    assert [change.predecessor for change in changes[:6]] == [None, None, 60, 60, 120, 120]
    assert [len(each) for each in store.transactions] == [1, 3, 2, 2]


async def test_group_is_bounded(store, monkeypatch):
    monkeypatch.setattr(committer, "MOST_SERIES", 8)
    async with held_back(store, monkeypatch) as commits:
        tasks = await queued(commits, [(series, [candle(60)]) for series in SERIES])
    await asyncio.gather(*tasks)
    assert [len(each) for each in store.transactions] == [1, 8, 8, 8, 6]


async def test_queue_is_bounded(store, monkeypatch):
    monkeypatch.setattr(committer, "MOST_QUEUED", 2)
    async with held_back(store, monkeypatch) as commits:
        tasks = await queued(commits, [(series, [candle(60)]) for series in SERIES[:3]])
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(each).__name__ for each in results] == ["Change", "Change", "PoolBusy"]


async def test_failing_and_outdated_series_fail_alone(store, monkeypatch):
    async with held_back(store, monkeypatch, Stage()) as commits:
        old, _ = store.next_fence(SERIES[5]), store.next_fence(SERIES[5])
        tasks = await queued(commits, [(series, [candle(60)]) for series in SERIES[:5]])
        outdated = asyncio.create_task(commits.ingest(SERIES[5], [candle(60)], fence=old))
        await asyncio.sleep(0)
    results = await asyncio.gather(*tasks, outdated, return_exceptions=True)
    assert isinstance(results[3], PipelineError) and str(results[3].__cause__) == "broken"
    assert isinstance(results[5], StaleFence)
    assert [results[number].state.head for number in (0, 1, 2, 4)] == [60] * 4
    assert [store.state(series).head for series in SERIES[:6]] == [60, 60, 60, None, 60, None]
    assert len(store.transactions) == 2


async def test_series_whose_lock_is_held_delays_no_other_and_keeps_its_order(store, monkeypatch):
    busy, free = SERIES[:2]
    async with held_back(store, monkeypatch) as commits:
        calls = [(busy, [candle(60)]), (free, [candle(60)]), (busy, [candle(120)])]
        tasks = await queued(commits, calls)
        held, done = threading.Event(), threading.Event()

        def hold():
            with MemoryCandleStore.writing(store, busy):
                held.set()
                assert done.wait(patience(20))

        thread = threading.Thread(target=hold)
        thread.start()
        assert held.wait(patience(20))
    async with asyncio.timeout(patience(20)):
        assert (await tasks[1]).state.head == 60
        # The second batch of the busy series must not take the place of others.
        await commits.ingest(free, [candle(120)])
        assert not tasks[0].done() and not tasks[2].done()
        done.set()
        first, second = await tasks[0], await tasks[2]
    thread.join()
    assert (first.predecessor, second.predecessor) == (None, 60)
    assert store.transactions == [[MINUTE], [busy, free], [busy], [free], [busy]]


async def test_cancelled_batch_is_not_committed(store, monkeypatch):
    async with held_back(store, monkeypatch) as commits:
        tasks = await queued(commits, [(series, [candle(60)]) for series in SERIES[:3]])
        tasks[1].cancel()
        await asyncio.sleep(0)
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(results[1], asyncio.CancelledError)
    assert [store.state(series).head for series in SERIES[:3]] == [60, None, 60]


async def test_history_has_a_transaction_of_its_own(store, monkeypatch):
    async with held_back(store, monkeypatch) as commits:
        page = [candle(60 * n) for n in range(1, committer.MOST_CANDLES + 2)]
        async with asyncio.timeout(patience(20)):
            await commits.ingest(SERIES[0], page)
    assert store.transactions == [[MINUTE], [SERIES[0]]]


async def test_pool_that_is_full_fails_the_batch(store, monkeypatch):
    def full(work):
        raise blocking.PoolBusy

    monkeypatch.setattr(blocking, "submit", full)
    commits = Committer(Pipeline(store))
    for _ in range(2):
        with pytest.raises(blocking.PoolBusy):
            await commits.ingest(SERIES[0], [candle(60)])
    monkeypatch.undo()
    assert (await commits.ingest(SERIES[0], [candle(60)])).state.head == 60


async def test_group_costs_each_caller_its_share(store, monkeypatch):
    costs = [Cost(0.0) for _ in range(2)]

    async def ingest(commits, series, cost):
        token = committer.COST.set(cost)
        try:
            await commits.ingest(series, [candle(60)])
        finally:
            committer.COST.reset(token)

    async with held_back(store, monkeypatch) as commits:
        calls = zip(SERIES[:2], costs, strict=True)
        tasks = [asyncio.create_task(ingest(commits, *each)) for each in calls]
        await asyncio.sleep(0)
    await asyncio.gather(*tasks)
    assert store.transactions[1] == SERIES[:2]
    assert costs[0].ms == costs[1].ms > 0


async def test_commit_that_never_began_fails_and_leaves_its_place(store, monkeypatch):
    commits = Committer(Pipeline(store))
    calls = [(series, [candle(60)]) for series in SERIES[: committer.AT_ONCE]]
    with monkeypatch.context() as patched:
        patched.setattr(blocking, "close_old_connections", lost_connection)
        ended = await asyncio.gather(*await queued(commits, calls), return_exceptions=True)
    assert {type(each) for each in ended} == {ConnectionError}
    assert (await commits.ingest(SERIES[5], [candle(60)])).fresh


async def test_batches_that_come_before_a_thread_is_free_go_together(store, settings):
    settings.SWITCHES = replace(settings.SWITCHES, blocking_workers=1)
    commits, other = Committer(Pipeline(store)), threading.Event()
    busy = asyncio.create_task(blocking.run(other.wait, patience(20)))
    await asyncio.sleep(0)
    tasks = await queued(commits, [(series, [candle(60)]) for series in SERIES])
    other.set()
    await asyncio.gather(busy, *tasks)
    assert store.transactions == [SERIES]


def lost_connection():
    raise ConnectionError("lost")
