"""Reconcile, ingest_state, and ingest inside the web process."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from lab.waiting import eventually, patience, wait_until
from market.domain.lease_store import Admission, Group, JobReport, LeaseStoreUnavailable
from market.domain.series import SeriesId
from market.ingest import desired, dispatch, supervisor
from market.ingest.desired import combine
from market.ingest.follow_job import JobPorts, desired_of, start_marker
from market.ingest.followed import Standing
from market.ingest.lease_store_memory import MemoryLeaseStore
from market.ingest.supervisor import InProcess, groups_to_start, ingest_state, reconcile
from market.stores.memory import MemoryCandleStore

BTC = SeriesId.parse("sim:spot:BTC/USDT:1m")
ETH = SeriesId.parse("sim:futures:ETH/USDT:1m")
XRP = SeriesId.parse("binance:spot:XRP/USDT:1m")
SPOT, FUTURES = Group.of(BTC), Group.of(ETH)
FREE = Admission(idle_ttl=60)


@pytest.fixture
def whitelist(monkeypatch):
    """The whitelist as a list that a test fills."""
    series = []
    monkeypatch.setattr(desired, "whitelisted_series", lambda: list(series))
    monkeypatch.setattr(supervisor, "whitelisted_series", lambda: list(series))
    return series


@pytest.fixture
def ingesting(switched):
    switched(enable_whitelist_ingest=True, enable_ondemand_ingest=True)
    return switched


@pytest.fixture
def shared(lease_store, monkeypatch):
    """The process's lease store is the one of the test."""
    monkeypatch.setattr(supervisor, "lease_store", lambda: lease_store)
    return lease_store


@pytest.fixture
def sent(monkeypatch):
    """The follow jobs that were requested."""
    groups = []

    def send(task, *arguments, expires, queue=None):
        assert task == dispatch.FOLLOW and expires > 0
        groups.extend(arguments)
        return True

    monkeypatch.setattr(dispatch, "send", send)
    return groups


def watch(lease_store, series, instance="web-1"):
    assert lease_store.lease(series, instance, ttl=30, admission=FREE)


def test_unknown_exchanges_are_not_desired():
    nowhere = SeriesId.parse("nowhere:spot:BTC/USDT:1m")
    assert [each.series for each in combine([nowhere, BTC], [])] == [BTC]


@pytest.mark.parametrize(
    ("switches", "watched"),
    [
        ({"enable_ondemand_ingest": True}, {ETH: True, BTC: False}),
        (
            {
                "enable_ondemand_ingest": True,
                "enable_ingest_role_guard": True,
                "enable_pg_store": True,
                "enable_ws_pubsub": True,
            },
            {ETH: True, BTC: False},
        ),
        (
            # Each process has leases of its own, and readers beside it take none.
            {
                "enable_ondemand_ingest": True,
                "enable_ingest_role_guard": True,
                "enable_ws_pubsub": False,
            },
            {ETH: True, BTC: True},
        ),
        ({"enable_ondemand_ingest": False}, {BTC: True}),
    ],
)
def test_pinned_series_counts_as_watched_unless_leases_show_otherwise(
    ingesting, shared, whitelist, switches, watched
):
    ingesting(enable_whitelist_ingest=True, **switches)
    whitelist.append(BTC)
    watch(shared, ETH)
    found = {
        series: standing.is_watched
        for group in (SPOT, FUTURES)
        for series, standing in desired_of(shared, group).items()
    }
    assert found == watched


def test_reconcile_starts_what_is_desired_and_not_owned(ingesting, shared, whitelist, sent):
    whitelist.append(BTC)
    watch(shared, ETH)
    watch(shared, XRP)
    shared.take_group(Group.of(XRP), "owner", ttl=30)
    assert reconcile() == [SPOT, FUTURES]
    assert sent == [str(SPOT), str(FUTURES)]


def test_groups_with_whitelisted_series_start_first(ingesting, shared, whitelist, sent):
    elsewhere = [
        SeriesId.parse(f"{name}:spot:BTC/USDT:1m") for name in ("ascendex", "kraken", "okx")
    ]
    whitelist.append(ETH)
    for series in (*elsewhere, BTC):
        watch(shared, series)
    started = reconcile()
    assert started[0] == Group.of(ETH)
    assert len(started) > 2


def test_reconcile_starts_a_job_for_every_shard_and_each_series_has_one(
    ingesting, shared, whitelist, sent
):
    ingesting(enable_whitelist_ingest=True, follow_shards=3)
    whitelist.extend(SeriesId.parse(f"sim:spot:C{each}/USDT:1m") for each in range(30))
    groups = reconcile()
    assert groups == [Group("sim", "spot", shard) for shard in range(3)]
    followed = [series for group in groups for series in desired_of(shared, group)]
    assert sorted(followed) == sorted(whitelist)


def test_reconcile_twice_asks_once(ingesting, shared, whitelist, sent):
    whitelist.append(BTC)
    assert (reconcile(), reconcile()) == ([SPOT], [])
    shared.unclaim(start_marker(SPOT))
    assert reconcile() == [SPOT]


def test_reconcile_at_the_same_time_asks_once(ingesting, shared, whitelist, sent):
    whitelist.extend([BTC, ETH])
    start = threading.Barrier(4)

    def run(_):
        start.wait(patience(5))
        return reconcile()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(run, range(4)))
    assert sorted(sent) == [str(FUTURES), str(SPOT)]


def test_reconcile_requests_again_after_a_failure_of_the_broker(
    ingesting, shared, whitelist, monkeypatch
):
    whitelist.append(BTC)
    monkeypatch.setattr(dispatch, "send", lambda task, *arguments, expires: False)
    assert (reconcile(), reconcile()) == ([SPOT], [SPOT])


def test_reconcile_takes_over_after_the_owner_died(ingesting, shared, whitelist, sent):
    whitelist.append(BTC)
    shared.take_group(SPOT, "killed", ttl=0.1)
    wait_until(reconcile)
    assert sent == [str(SPOT)]


@pytest.mark.parametrize(
    ("switches", "expected"),
    [
        ({"enable_whitelist_ingest": False, "enable_ondemand_ingest": False}, []),
        ({"enable_whitelist_ingest": True, "enable_ondemand_ingest": False}, [SPOT]),
        ({"enable_whitelist_ingest": False, "enable_ondemand_ingest": True}, [FUTURES]),
        ({"enable_whitelist_ingest": True, "enable_ondemand_ingest": True}, [SPOT, FUTURES]),
        (
            {
                "enable_whitelist_ingest": True,
                "enable_ingest_role_guard": True,
                "ingest_role": "read",
            },
            [],
        ),
        ({"enable_whitelist_ingest": True, "ingest_role": "read"}, [SPOT]),
    ],
)
def test_switches_say_what_is_started(switched, shared, whitelist, switches, expected):
    switched(**switches)
    whitelist.append(BTC)
    watch(shared, ETH)
    assert groups_to_start(shared) == expected


def test_ingest_state_has_the_shape_of_the_contract(ingesting, shared, whitelist):
    whitelist.extend([ETH, BTC])
    for series, instance in ((XRP, "web-1"), (XRP, "web-2"), (BTC, "web-1")):
        watch(shared, series, instance)
    polled = JobReport(state="running", started_at=6.0, polled="refused")
    running = JobReport(state="running", started_at=5.0, crashes=2)
    shared.report({BTC: running, ETH: polled}, ttl=30)
    state = ingest_state()
    assert state["whitelist_series_ids"] == [str(ETH), str(BTC)]
    assert (state["ingest_role"], state["ingest_jobs_enabled"]) == ("hybrid", True)
    jobs = {job["series_id"]: job for job in state["jobs"]}
    assert list(jobs) == sorted([str(BTC), str(ETH), str(XRP)])
    assert jobs[str(BTC)]["refcount"] == -1
    assert (jobs[str(BTC)]["running"], jobs[str(BTC)]["crashes"]) == (True, 2)
    assert jobs[str(XRP)]["refcount"] == 2
    assert (jobs[str(XRP)]["running"], jobs[str(XRP)]["started_at"]) == (False, None)
    assert jobs[str(ETH)]["source"] == "sim_ws"
    live = {name: (job["live"], job["polled_because"]) for name, job in jobs.items()}
    assert live == {
        str(BTC): ("stream", None),
        str(ETH): ("poll", "refused"),
        str(XRP): (None, None),
    }


def test_ingest_state_shows_since_when_a_series_is_idle(ingesting, shared, whitelist):
    watch(shared, XRP)
    assert ingest_state()["jobs"][0]["last_zero_at"] is None
    shared.release(XRP, "web-1")
    (job,) = ingest_state()["jobs"]
    assert (job["refcount"], job["last_zero_at"] > 1_700_000_000) == (0, True)


def test_ingest_state_has_no_jobs_without_the_lease_store(ingesting, whitelist, monkeypatch):
    class Away:
        def leased(self, *, idle_ttl):
            raise LeaseStoreUnavailable("unavailable")

    monkeypatch.setattr(supervisor, "lease_store", Away)
    assert ingest_state()["jobs"] == []


class PatientFollower:
    """Follows nothing until it is stopped."""

    async def run(self, wanted, stop):
        await wanted()
        await stop.wait()


async def test_ingest_in_process_follows_and_releases_at_its_end(ingesting, whitelist, monkeypatch):
    lease_store = MemoryLeaseStore()
    monkeypatch.setattr(supervisor, "lease_store", lambda: lease_store)
    whitelist.append(BTC)

    def ports(group):
        return JobPorts(
            leases=lease_store,
            store=MemoryCandleStore(),
            desired=lambda: {BTC: Standing(is_watched=True, is_pinned=True)},
            open_follower=lambda report, standings: PatientFollower(),
            ttl=30,
        )

    ingest = InProcess(ports_of=ports, interval=0.02, repair_interval=60)
    monkeypatch.setattr(supervisor, "repair_due", _nothing_due)
    ingest.start()
    await eventually(lambda: lease_store.owned_groups([SPOT]))
    whitelist.append(ETH)
    await eventually(lambda: lease_store.owned_groups([SPOT, FUTURES]) == {SPOT, FUTURES})
    async with asyncio.timeout(patience(5)):
        await ingest.stop()
    assert lease_store.owned_groups([SPOT, FUTURES]) == set()


async def _nothing_due(*, stopping):
    return 0
