"""Leases of a web instance: counted, renewed, and kept through an outage of the lease store."""

from __future__ import annotations

import asyncio

import pytest

from lab.waiting import eventually
from market.domain.lease_store import Admission, FollowRefused, Refusal
from market.domain.series import SeriesId
from market.ingest import leases
from market.ingest.leases import LeaseKeeper, NoLeases, keeper
from market.ingest.tests.outage import Outage
from market.networks import digest_of

BTC = SeriesId.parse("sim:spot:BTC/USDT:1m")
ETH = SeriesId.parse("sim:spot:ETH/USDT:1m")
XRP = SeriesId.parse("sim:spot:XRP/USDT:1m")
FUTURES = SeriesId.parse("sim:futures:BTC/USDT:1m")


UNLISTED = SeriesId.parse("sim:spot:NOPE/USDT:1m")
STORED = SeriesId.parse("elsewhere:spot:BTC/USDT:1m")


def make_keeper(lease_store, *, instance="web-1", ttl=30.0, pinned=(), **limits):
    limits = Admission(idle_ttl=60, pinned=frozenset(pinned), **limits)

    async def admit(series):
        if series == UNLISTED:
            raise FollowRefused(series, Refusal.UNKNOWN_SYMBOL, "not listed")
        if series == STORED:
            return None
        return limits

    return LeaseKeeper(lease_store, instance, ttl=ttl, admit=admit)


def leases_of(lease_store):
    return {each.series: each.leases for each in lease_store.leases.leased(idle_ttl=60)}


def may_have(lease_store, series, address):
    """Whether another instance may follow one series for an address."""
    client, limits = digest_of(address), Admission(idle_ttl=60, client_limit=1)
    if not lease_store.lease(series, "another", ttl=30, admission=limits, client=client):
        return False
    lease_store.release(series, "another", [client])
    return True


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


async def test_one_address_can_not_take_every_place_through_many_instances(lease_store):
    one, other = (
        make_keeper(lease_store, instance=name, limit=4, client_limit=2)
        for name in ("web-1", "web-2")
    )
    await one.acquire(BTC, "stranger")
    await other.acquire(ETH, "stranger")
    for each in (one, other):
        with pytest.raises(FollowRefused) as refused:
            await each.acquire(XRP, "stranger")
        assert refused.value.code == "capacity"
    await one.acquire(XRP, "honest")
    # Nor by joining what others have followed.
    with pytest.raises(FollowRefused):
        await one.acquire(XRP, "stranger")
    await other.release(ETH, "stranger")
    await one.acquire(XRP, "stranger")
    with pytest.raises(FollowRefused):
        await other.acquire(ETH, "stranger")
    await one.close()
    await other.acquire(ETH, "stranger")
    await other.close()


async def test_holder_beside_others_of_its_address_asks_nothing():
    lease_store = Outage()
    keeper = make_keeper(lease_store, client_limit=1, pinned=[BTC])
    for series in (BTC, ETH):
        for _ in range(3):
            await keeper.acquire(series, "stranger")
    await keeper.acquire(BTC, "honest")
    assert lease_store.calls == {"lease": 2}
    await keeper.acquire(ETH, "honest")
    assert lease_store.calls == {"lease": 3}
    unlimited = make_keeper(lease_store, instance="web-2")
    for address in ("stranger", "honest"):
        await unlimited.acquire(BTC, address)
    assert lease_store.calls == {"lease": 4}
    await keeper.close()
    await unlimited.close()


async def test_address_that_left_a_series_to_others_is_counted_no_more(lease_store):
    keeper = make_keeper(lease_store, client_limit=1)
    for address in ("stranger", "stranger", "honest"):
        await keeper.acquire(BTC, address)
    await keeper.release(BTC, "stranger")
    with pytest.raises(FollowRefused):
        await keeper.acquire(ETH, "stranger")
    await keeper.release(BTC, "stranger")
    await keeper.acquire(ETH, "stranger")
    await keeper.close()


async def test_what_an_address_holds_is_renewed_and_expires_with_a_crash(lease_store):
    outage = Outage(lease_store)
    crashed = make_keeper(outage, instance="crashed", ttl=0.15, client_limit=1)
    await crashed.acquire(BTC, "stranger")
    await eventually(lambda: outage.calls["renew"] >= 4)
    await eventually(lambda: not may_have(lease_store, ETH, "stranger"))
    outage.is_on = True
    await eventually(lambda: may_have(lease_store, ETH, "stranger"))
    await crashed.close()


async def test_address_itself_is_not_in_the_lease_store(valkey_lease_store):
    keeper = make_keeper(valkey_lease_store, client_limit=1)
    await keeper.acquire(BTC, "203.0.113.7")
    client, mine = valkey_lease_store._client, f"{valkey_lease_store._prefix()}*"
    kept = {key: client.zrange(key, 0, -1) for key in client.scan_iter(match=mine)}
    assert any(digest_of("203.0.113.7") in key for key in kept)
    assert "203.0.113.7" not in str(kept)
    await keeper.close()


async def test_outage_of_the_lease_store_lets_no_address_have_more_than_its_own():
    lease_store = Outage()
    keeper = make_keeper(lease_store, ttl=0.15, client_limit=1)
    lease_store.is_on = True
    await keeper.acquire(BTC, "stranger")
    with pytest.raises(FollowRefused):
        await keeper.acquire(ETH, "stranger")
    await keeper.acquire(ETH, "honest")
    lease_store.is_on = False
    await eventually(lambda: leases_of(lease_store) == {BTC: 1, ETH: 1})
    # What was accepted meanwhile is counted since.
    await eventually(lambda: not may_have(lease_store, XRP, "stranger"))
    await keeper.close()


async def test_refused_lease_does_not_count_for_its_address():
    lease_store = Outage()
    keeper = make_keeper(lease_store, limit=1, client_limit=1)
    await keeper.acquire(BTC, "other")
    for _ in range(3):
        with pytest.raises(FollowRefused):
            await keeper.acquire(ETH, "stranger")
    await keeper.release(BTC, "other")
    await keeper.acquire(ETH, "stranger")
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


async def test_flood_of_refused_wishes_does_not_reach_the_lease_store(monkeypatch):
    monkeypatch.setattr(leases, "REFUSALS_PER_S", 0.001)
    lease_store = Outage()
    keeper = make_keeper(lease_store, client_limit=1, pinned=[XRP])
    await keeper.acquire(BTC, "192.0.2.1")
    for _ in range(50):
        with pytest.raises(FollowRefused) as refused:
            await keeper.acquire(ETH, "192.0.2.1")
        assert refused.value.code is Refusal.CAPACITY
    assert lease_store.calls["lease"] == 1 + leases.REFUSALS_AT_ONCE
    # Neither the whitelist nor other addresses are concerned.
    await keeper.acquire(XRP, "192.0.2.1")
    await keeper.acquire(ETH, "192.0.2.2")


async def test_refusal_of_one_series_does_not_refuse_what_the_address_holds_elsewhere():
    lease_store = Outage()
    keeper = make_keeper(lease_store, client_limit=1)
    elsewhere = make_keeper(lease_store, instance="web-2", client_limit=1)
    await elsewhere.acquire(BTC, "192.0.2.1")
    with pytest.raises(FollowRefused):
        await keeper.acquire(ETH, "192.0.2.1")
    await keeper.acquire(BTC, "192.0.2.1")
    assert leases_of(lease_store) == {BTC: 2}
