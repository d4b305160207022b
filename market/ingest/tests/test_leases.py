"""Leases of a web instance: counted, renewed, and kept through an outage of the lease store."""

from __future__ import annotations

import asyncio

import pytest

from lab.waiting import eventually
from market.domain.lease_store import Admission, FollowRefused, Refusal, Venue
from market.domain.series import SeriesId
from market.ingest import leases
from market.ingest.admission import Admitted, Wish
from market.ingest.leases import LeaseKeeper, NoLeases, keeper
from market.ingest.tests.outage import Outage

BTC = SeriesId.parse("sim:spot:BTC/USDT:1m")
ETH = SeriesId.parse("sim:spot:ETH/USDT:1m")
XRP = SeriesId.parse("sim:spot:XRP/USDT:1m")
FUTURES = SeriesId.parse("sim:futures:BTC/USDT:1m")


UNLISTED = SeriesId.parse("sim:spot:NOPE/USDT:1m")
STORED = SeriesId.parse("elsewhere:spot:BTC/USDT:1m")


def make_keeper(lease_store, *, instance="web-1", ttl=30.0, limit=0, pinned=()):
    async def admit(series):
        if series == UNLISTED:
            raise FollowRefused(series, Refusal.UNKNOWN_SYMBOL, "not listed")
        if series == STORED:
            return None
        wish = Wish(series, series in pinned, Venue.of(series))
        return Admitted(wish, Admission(idle_ttl=60, limit=limit, pinned=frozenset(pinned)))

    return LeaseKeeper(lease_store, instance, ttl=ttl, admit=admit)


def leases_of(lease_store):
    return {each.series: each.leases for each in lease_store.leases.leased(idle_ttl=60)}


async def test_series_that_is_not_admitted_has_no_lease():
    lease_store = Outage()
    with pytest.raises(FollowRefused, match="not listed"):
        await make_keeper(lease_store).acquire(UNLISTED)
    assert leases_of(lease_store) == {}
    assert lease_store.calls["lease"] == 0


async def test_series_that_is_only_read_has_holders_and_no_lease():
    lease_store = Outage()
    keeper = make_keeper(lease_store, ttl=0.15)
    await keeper.acquire(STORED)
    await keeper.acquire(STORED)
    await keeper.acquire(BTC)
    await eventually(lambda: lease_store.calls["renew"] >= 2)
    assert leases_of(lease_store) == {BTC: 1}
    for _ in range(3):
        await keeper.release(STORED)
    assert leases_of(lease_store) == {BTC: 1}
    await keeper.close()


async def test_one_address_can_not_take_every_place(switched):
    switched(ondemand_max_series_per_address=2)
    lease_store = Outage()
    keeper = make_keeper(lease_store, limit=4)
    await keeper.acquire(BTC, "stranger")
    await keeper.acquire(ETH, "stranger")
    with pytest.raises(FollowRefused) as refused:
        await keeper.acquire(XRP, "stranger")
    assert refused.value.code == "capacity"
    assert lease_store.calls["lease"] == 2
    await keeper.acquire(XRP, "honest")
    # Nor by joining what others have followed.
    with pytest.raises(FollowRefused):
        await keeper.acquire(XRP, "stranger")
    await keeper.release(ETH, "stranger")
    await keeper.acquire(XRP, "stranger")
    await keeper.close()


async def test_refused_lease_does_not_count_for_its_address(switched):
    switched(ondemand_max_series_per_address=1)
    lease_store = Outage()
    keeper = make_keeper(lease_store, limit=1)
    await keeper.acquire(BTC, "other")
    for _ in range(3):
        with pytest.raises(FollowRefused):
            await keeper.acquire(ETH, "stranger")
    await keeper.release(BTC, "other")
    await keeper.acquire(ETH, "stranger")
    await keeper.close()


async def test_whitelisted_series_count_for_no_address(switched):
    switched(ondemand_max_series_per_address=1)
    lease_store = Outage()
    keeper = make_keeper(lease_store, limit=2, pinned=(BTC, ETH))
    for series in (BTC, ETH, XRP):
        await keeper.acquire(series, "stranger")
    await keeper.close()


async def test_one_address_starts_few_groups(switched):
    switched(ondemand_max_groups_per_address=1)
    keeper = make_keeper(Outage())
    await keeper.acquire(BTC, "stranger")
    await keeper.acquire(ETH, "stranger")
    with pytest.raises(FollowRefused):
        await keeper.acquire(FUTURES, "stranger")
    await keeper.acquire(FUTURES, "honest")
    await keeper.close()


async def test_lease_beyond_the_limit_is_refused_and_not_counted():
    lease_store = Outage()
    keeper = make_keeper(lease_store, limit=1)
    await keeper.acquire(BTC)
    with pytest.raises(FollowRefused):
        await keeper.acquire(ETH)
    await keeper.release(ETH)
    assert leases_of(lease_store) == {BTC: 1}
    await keeper.close()


async def test_lease_lasts_until_its_last_holder_goes():
    lease_store = Outage()
    keeper = make_keeper(lease_store)
    for _ in range(3):
        await keeper.acquire(BTC)
    for expected in (1, 1, 0, 0):
        await keeper.release(BTC)
        assert leases_of(lease_store) == {BTC: expected}
    await keeper.close()


async def test_concurrent_holders_of_a_refused_series_are_all_refused():
    lease_store = Outage()
    keeper = make_keeper(lease_store, limit=1)
    await keeper.acquire(BTC)
    outcomes = await asyncio.gather(
        *(keeper.acquire(ETH) for _ in range(5)), return_exceptions=True
    )
    assert [type(each) for each in outcomes] == [FollowRefused] * 5
    await keeper.close()


async def test_lease_is_renewed_while_it_is_held():
    lease_store = Outage()
    keeper = make_keeper(lease_store, ttl=0.15)
    await keeper.acquire(BTC)
    (taken,) = lease_store.leased(idle_ttl=60)
    await eventually(lambda: lease_store.leased(idle_ttl=60)[0].leased_until > taken.leased_until)
    await eventually(lambda: lease_store.calls["renew"] >= 3)
    assert leases_of(lease_store) == {BTC: 1}
    await keeper.close()
    assert leases_of(lease_store) == {BTC: 0}


async def test_unreachable_lease_store_refuses_no_watcher_and_takes_the_lease_later():
    lease_store = Outage()
    keeper = make_keeper(lease_store, ttl=0.15, limit=1)
    lease_store.is_on = True
    await keeper.acquire(BTC)
    await keeper.acquire(ETH)
    await keeper.release(ETH)
    await eventually(lambda: lease_store.calls["renew"] >= 2)
    assert leases_of(lease_store) == {}
    lease_store.is_on = False
    await eventually(lambda: leases_of(lease_store) == {BTC: 1})
    await keeper.close()


async def test_release_during_an_outage_raises_nothing_and_the_lease_runs_out():
    lease_store = Outage()
    keeper = make_keeper(lease_store, ttl=0.15)
    await keeper.acquire(BTC)
    lease_store.is_on = True
    await keeper.release(BTC)
    await eventually(lambda: leases_of(lease_store) == {BTC: 0})
    await keeper.close()


async def test_crashed_instance_frees_its_place_for_another():
    lease_store = Outage()
    outage = Outage(lease_store.leases)
    crashed = make_keeper(outage, instance="crashed", ttl=0.2, limit=1)
    other = make_keeper(lease_store, instance="other", limit=1)
    await crashed.acquire(BTC)
    outage.is_on = True
    with pytest.raises(FollowRefused):
        await other.acquire(ETH)
    await eventually(lambda: leases_of(lease_store) == {BTC: 0})
    await other.acquire(ETH)
    assert leases_of(lease_store) == {ETH: 1}
    await other.close()
    await crashed.close()


def test_keeper_does_nothing_without_on_demand_ingest(switched):
    switched(enable_ondemand_ingest=False)
    assert isinstance(keeper(), NoLeases)


READER = {"enable_ondemand_ingest": True, "enable_ingest_role_guard": True, "ingest_role": "read"}


@pytest.mark.parametrize("role", ["read", "ingest", "hybrid"])
def test_instance_beside_workers_holds_leases_whatever_its_role(switched, role):
    switched(**READER | {"ingest_role": role}, enable_pg_store=True, enable_ws_pubsub=True)
    assert isinstance(keeper(), LeaseKeeper)


async def test_guarded_reader_that_a_bus_feeds_accepts_without_a_job(switched):
    switched(**READER, enable_pg_store=False, enable_ws_pubsub=True)
    await keeper().acquire(BTC)
    await keeper().release(BTC)


@pytest.mark.parametrize("has_store", [False, True])
async def test_guarded_reader_on_its_own_accepts_its_whitelist_alone(
    switched, monkeypatch, has_store
):
    monkeypatch.setattr(leases, "pinned_series", lambda: [BTC])
    switched(**READER, enable_pg_store=has_store, enable_ws_pubsub=False)
    await keeper().acquire(BTC)
    await keeper().release(BTC)
    with pytest.raises(FollowRefused):
        await keeper().acquire(ETH)


def test_reader_without_the_guard_follows_itself(switched):
    switched(enable_ondemand_ingest=True, enable_ingest_role_guard=False, ingest_role="read")
    assert isinstance(keeper(), LeaseKeeper)


async def test_nothing_is_held_where_there_are_no_leases():
    unleased = NoLeases()
    await unleased.acquire(BTC)
    await unleased.release(BTC)
    await unleased.close()
