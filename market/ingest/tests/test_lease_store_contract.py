"""The contract of the lease store, held by the memory and the Valkey implementation."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace

import orjson
import pytest

from lab.waiting import patience, wait_until
from market.domain.lease_store import (
    IDLE,
    Admission,
    BackfillProgress,
    Group,
    JobReport,
    LeaseStoreUnavailable,
    Member,
)
from market.domain.series import SeriesId
from market.ingest.lease_store_valkey import ValkeyLeaseStore, _pack_report, _report_in, connect

BTC = SeriesId.parse("binance:futures:BTC/USDT:1m")
ETH = SeriesId.parse("binance:futures:ETH/USDT:1m")
XRP = SeriesId.parse("binance:futures:XRP/USDT:1m")
GROUP = Group.of(BTC)
FREE = Admission(idle_ttl=60)
REPORT = JobReport(state="running", started_at=1.5, last_candle_time=60, guardrail={"a": [1, None]})


def at_most(limit, *, idle_ttl=60, pinned=()):
    return Admission(idle_ttl=idle_ttl, limit=limit, pinned=frozenset(pinned))


def lease(lease_store, series, instance="web-1", *, ttl=30, admission=FREE, client=""):
    return lease_store.lease(series, instance, ttl=ttl, admission=admission, client=client)


def desired(lease_store, idle_ttl=60):
    return [(each.series, each.leases) for each in lease_store.leased(idle_ttl=idle_ttl)]


def test_lease_makes_a_series_desired(lease_store):
    assert lease(lease_store, ETH)
    assert lease(lease_store, BTC)
    assert desired(lease_store) == [(BTC, 1), (ETH, 1)]


def test_leases_are_counted_per_instance(lease_store):
    for instance in ("web-1", "web-1", "web-2"):
        assert lease(lease_store, BTC, instance)
    assert desired(lease_store) == [(BTC, 2)]


def test_released_series_lingers_since_its_last_lease_ended(lease_store):
    lease(lease_store, BTC, "web-1")
    lease(lease_store, BTC, "web-2")
    lease_store.release(BTC, "web-1")
    (watched,) = lease_store.leased(idle_ttl=60)
    lease_store.release(BTC, "web-2")
    (lingering,) = lease_store.leased(idle_ttl=60)
    assert (watched.leases, lingering.leases) == (1, 0)
    assert lingering.leased_until < watched.leased_until


def test_idle_series_is_released_after_its_time(lease_store):
    lease(lease_store, BTC)
    lease_store.release(BTC, "web-1")
    assert desired(lease_store, idle_ttl=60) == [(BTC, 0)]
    wait_until(lambda: desired(lease_store, idle_ttl=0.1) == [])


def test_release_of_a_lease_that_is_not_held_changes_nothing(lease_store):
    lease_store.release(BTC, "web-1")
    assert desired(lease_store) == []
    lease(lease_store, BTC, "web-1")
    lease_store.release(BTC, "web-2")
    assert desired(lease_store) == [(BTC, 1)]


def test_lease_of_a_crashed_instance_runs_out_by_itself(lease_store):
    lease(lease_store, BTC, "crashed", ttl=0.1)
    lease(lease_store, BTC, "alive")
    wait_until(lambda: desired(lease_store) == [(BTC, 1)])
    lease_store.release(BTC, "alive")
    wait_until(lambda: desired(lease_store, idle_ttl=0.1) == [])


def test_renewing_keeps_leases_and_takes_lost_ones_again(lease_store):
    lease(lease_store, BTC, ttl=0.2)
    lease_store.renew("web-1", {BTC: [], ETH: []}, ttl=30)
    lease_store.renew("web-1", {}, ttl=30)
    assert desired(lease_store) == [(BTC, 1), (ETH, 1)]
    assert min(each.leased_until for each in lease_store.leased(idle_ttl=60)) > 1_700_000_000


def test_limit_refuses_another_series_while_all_are_watched(lease_store):
    assert lease(lease_store, BTC, admission=at_most(1))
    assert not lease(lease_store, ETH, admission=at_most(1))
    assert desired(lease_store) == [(BTC, 1)]


def test_limit_accepts_another_watcher_of_an_admitted_series(lease_store):
    lease(lease_store, BTC, admission=at_most(1))
    assert lease(lease_store, BTC, "web-2", admission=at_most(1))


def test_limit_counts_no_pinned_series_and_accepts_them_always(lease_store):
    limits = at_most(1, pinned=[BTC])
    assert lease(lease_store, BTC, admission=limits)
    assert lease(lease_store, ETH, admission=limits)
    assert not lease(lease_store, XRP, admission=limits)
    assert lease(lease_store, XRP, admission=at_most(1, pinned=[BTC, XRP]))


def test_limit_evicts_the_series_that_is_idle_longest(lease_store):
    limits = at_most(2)
    for series in (ETH, BTC):
        lease(lease_store, series, admission=limits)
    lease_store.release(ETH, "web-1")
    (idle_since,) = [e.leased_until for e in lease_store.leased(idle_ttl=60) if e.series == ETH]
    lease_store.release(BTC, "web-1")
    wait_until(lambda: _later(lease_store, BTC, idle_since))
    assert lease(lease_store, XRP, admission=limits)
    assert desired(lease_store) == [(BTC, 0), (XRP, 1)]


def _later(lease_store, series, time):
    """Whether `series` went idle after `time`; the lease store's clock ticks in milliseconds."""
    (until,) = [e.leased_until for e in lease_store.leased(idle_ttl=60) if e.series == series]
    if until <= time:
        lease_store.renew("web-1", {series: []}, ttl=30)
        lease_store.release(series, "web-1")
    return until > time


def test_lowered_limit_evicts_as_many_as_it_must(lease_store):
    for series in (BTC, ETH):
        lease(lease_store, series)
        lease_store.release(series, "web-1")
    assert lease(lease_store, XRP, admission=at_most(1))
    assert desired(lease_store) == [(XRP, 1)]


def test_admission_is_atomic_over_concurrent_instances(lease_store):
    series = [SeriesId.parse(f"binance:spot:C{n}/USDT:1m") for n in range(40)]
    start = threading.Barrier(8)

    def instance(number):
        start.wait(patience(5))
        return sum(
            lease(lease_store, each, f"web-{number}", admission=at_most(5)) for each in series
        )

    with ThreadPoolExecutor(8) as pool:
        accepted = list(pool.map(instance, range(8)))
    assert len(desired(lease_store)) == 5
    assert sum(accepted) == sum(count for _, count in desired(lease_store)) == 40


def test_group_has_one_owner(lease_store):
    assert lease_store.take_group(GROUP, "first", ttl=30)
    assert not lease_store.take_group(GROUP, "second", ttl=30)
    assert not lease_store.renew_group(GROUP, "second", ttl=30)
    assert lease_store.owned_groups([GROUP, Group("sim", "spot")]) == {GROUP}
    assert lease_store.owned_groups([]) == set()


def test_group_of_a_dead_owner_is_taken_over(lease_store):
    lease_store.take_group(GROUP, "dead", ttl=0.1)
    wait_until(lambda: lease_store.take_group(GROUP, "next", ttl=30))
    assert not lease_store.renew_group(GROUP, "dead", ttl=30)
    lease_store.release_group(GROUP, "dead")
    assert lease_store.owned_groups([GROUP]) == {GROUP}


def test_group_ownership_is_kept_by_renewing(lease_store):
    lease_store.take_group(GROUP, "owner", ttl=0.3)
    assert lease_store.renew_group(GROUP, "owner", ttl=30)
    assert not lease_store.take_group(GROUP, "other", ttl=30)
    lease_store.release_group(GROUP, "owner")
    assert lease_store.owned_groups([GROUP]) == set()


def test_vanished_ownership_must_be_taken_anew(lease_store):
    lease_store.take_group(GROUP, "owner", ttl=0.05)
    wait_until(lambda: not lease_store.owned_groups([GROUP]))
    assert not lease_store.renew_group(GROUP, "owner", ttl=30)
    assert lease_store.take_group(GROUP, "owner", ttl=30)


def test_marker_is_put_up_once_until_it_ends(lease_store):
    assert lease_store.claim("start", ttl=30)
    assert not lease_store.claim("start", ttl=30)
    assert lease_store.is_claimed("start") and not lease_store.is_claimed("other")
    lease_store.unclaim("start")
    assert not lease_store.is_claimed("start")
    assert lease_store.claim("start", ttl=0.05)
    wait_until(lambda: lease_store.claim("start", ttl=30))


def test_marker_is_extended_only_while_it_is_set(lease_store):
    lease_store.extend_claim("start", ttl=30)
    assert lease_store.claim("start", ttl=0.2)
    lease_store.extend_claim("start", ttl=30)
    assert lease_store.claim("other", ttl=0.3)
    wait_until(lambda: not lease_store.is_claimed("other"))
    assert lease_store.is_claimed("start")


def test_report_reads_back_equal_until_it_ends(lease_store):
    lease_store.report({BTC: REPORT}, ttl=30)
    lease_store.report({ETH: REPORT}, ttl=0.05)
    lease_store.report({}, ttl=30)
    assert lease_store.reports([BTC, XRP])[BTC] == REPORT
    wait_until(lambda: lease_store.reports([BTC, ETH, XRP]) == {BTC: REPORT})
    lease_store.drop_reports([BTC])
    lease_store.drop_reports([])
    assert lease_store.reports([BTC]) == {}
    assert lease_store.reports([]) == {}


def test_report_of_a_newer_version_is_read_without_what_is_unknown():
    newer = orjson.dumps({**asdict(REPORT), "is_halted": True, "of_the_future": 1})
    assert _report_in(newer) == replace(REPORT, is_halted=True)
    older = {name: value for name, value in asdict(REPORT).items() if name != "refused_rows"}
    assert _report_in(orjson.dumps(older)) == REPORT


def test_report_of_a_polled_series_reads_back_equal(lease_store):
    polled = replace(REPORT, polled="refused")
    lease_store.report({BTC: polled, ETH: REPORT}, ttl=30)
    assert lease_store.reports([BTC, ETH]) == {BTC: polled, ETH: REPORT}


def test_report_can_be_read_by_the_version_before():
    before = {"is_halted", "refused_rows", "refused_at", "polled"}
    assert orjson.loads(_pack_report(REPORT)).keys().isdisjoint(before)


def test_members_read_back_by_kind_and_name_until_they_end(lease_store):
    web = Member(kind="web", name="b:2", started_at=1.5, seen_at=2.5, watchers=3, subscriptions=4)
    beat = Member(kind="beat", name="a:1", started_at=1.0, seen_at=2.0)
    lease_store.announce(replace(web, watchers=1), ttl=30)
    lease_store.announce(web, ttl=30)
    lease_store.announce(beat, ttl=30)
    lease_store.announce(replace(beat, name="a:0"), ttl=0.05)
    wait_until(lambda: lease_store.members() == [beat, web])
    lease_store.withdraw(web)
    lease_store.withdraw(web)
    assert lease_store.members() == [beat]
    lease_store.announce(web, ttl=30)
    assert lease_store.members() == [beat, web]


def test_progress_reads_back_equal(lease_store):
    progress = BackfillProgress(state="running", started_at=7, start_missing_seconds=60)
    assert lease_store.progress(BTC) == IDLE
    lease_store.set_progress(BTC, progress)
    assert lease_store.progress(BTC) == progress


def test_unreachable_valkey_is_named_as_such():
    unreachable = ValkeyLeaseStore(connect("redis://127.0.0.1:1/0"))
    with pytest.raises(LeaseStoreUnavailable):
        unreachable.leased(idle_ttl=1)
    with pytest.raises(LeaseStoreUnavailable):
        lease(unreachable, BTC)


def test_limit_of_venues_refuses_another_exchange_or_market(lease_store):
    limits = Admission(idle_ttl=60, venue_limit=1, pinned=frozenset({BTC}))
    elsewhere = [SeriesId.parse(f"{venue}:BTC/USDT:1m") for venue in ("okx:spot", "okx:futures")]
    for series in (BTC, ETH, elsewhere[0], XRP):
        assert lease(lease_store, series, admission=limits)
    assert not lease(lease_store, elsewhere[1], admission=limits)
    another = SeriesId.parse("okx:spot:ETH/USDT:1m")
    assert lease(lease_store, another, admission=limits)
    lease_store.release(elsewhere[0], "web-1")
    assert not lease(lease_store, elsewhere[1], admission=limits)


def venues_at_most(venues, limit=0):
    return Admission(idle_ttl=60, venue_limit=venues, limit=limit)


def test_limit_of_venues_evicts_the_venue_that_is_idle_longest(lease_store):
    first, second, third, fourth = (
        SeriesId.parse(f"{each}:spot:BTC/USDT:1m") for each in ("a", "b", "c", "d")
    )
    beside_first = SeriesId.parse("a:spot:ETH/USDT:1m")
    for series in (first, beside_first, second):
        assert lease(lease_store, series, admission=venues_at_most(2))
    lease_store.release(first, "web-1")
    # Another series of it is watched.
    assert not lease(lease_store, third, admission=venues_at_most(2))
    lease_store.release(second, "web-1")
    lease_store.release(beside_first, "web-1")
    (idle_since,) = [e.leased_until for e in lease_store.leased(idle_ttl=60) if e.series == second]
    wait_until(lambda: _later(lease_store, beside_first, idle_since))
    assert lease(lease_store, third, admission=venues_at_most(2))
    assert desired(lease_store) == [(first, 0), (beside_first, 0), (third, 1)]
    assert lease(lease_store, fourth, admission=venues_at_most(2))
    assert desired(lease_store) == [(third, 1), (fourth, 1)]


def test_nothing_is_evicted_for_a_series_that_is_refused(lease_store):
    idle, watched, wanted = (SeriesId.parse(f"{each}:spot:BTC/USDT:1m") for each in ("a", "b", "c"))
    for series in (watched, BTC, idle):
        assert lease(lease_store, series)
    lease_store.release(idle, "web-1")
    before = desired(lease_store)
    assert not lease(lease_store, wanted, admission=venues_at_most(3, limit=2))
    assert not lease(lease_store, wanted, admission=venues_at_most(2, limit=9))
    assert desired(lease_store) == before
    assert lease(lease_store, wanted, admission=venues_at_most(3, limit=3))
    assert desired(lease_store) == [(watched, 1), (BTC, 1), (wanted, 1)]


def one_each(**limits):
    return Admission(idle_ttl=60, client_limit=1, **limits)


def test_client_holds_so_many_series_over_all_instances(lease_store):
    assert lease(lease_store, BTC, "web-1", admission=one_each(), client="stranger")
    for instance in ("web-1", "web-2"):
        assert not lease(lease_store, ETH, instance, admission=one_each(), client="stranger")
        assert lease(lease_store, BTC, instance, admission=one_each(), client="stranger")
    assert desired(lease_store) == [(BTC, 2)]
    assert lease(lease_store, ETH, admission=one_each(), client="honest")
    assert lease(lease_store, XRP, admission=one_each())


def test_client_is_counted_until_it_has_left_every_instance(lease_store):
    for instance in ("web-1", "web-2"):
        lease(lease_store, BTC, instance, admission=one_each(), client="stranger")
    lease_store.release(BTC, "web-1", ["stranger"])
    assert not lease(lease_store, ETH, admission=one_each(), client="stranger")
    lease_store.release_clients(BTC, "web-2", ["stranger", "honest"])
    lease_store.release_clients(BTC, "web-2", [])
    assert desired(lease_store) == [(BTC, 1)]
    assert lease(lease_store, ETH, admission=one_each(), client="stranger")


def test_client_of_a_crashed_instance_is_counted_until_its_lease_expires(lease_store):
    lease(lease_store, BTC, "crashed", ttl=0.1, admission=one_each(), client="stranger")
    wait_until(lambda: lease(lease_store, ETH, admission=one_each(), client="stranger"))
    assert not lease(lease_store, XRP, admission=one_each(), client="stranger")


def test_renewing_keeps_clients_and_takes_lost_ones_again(lease_store):
    lease(lease_store, BTC, ttl=0.1, admission=one_each(), client="stranger")
    lease_store.renew("web-1", {BTC: ["stranger", "other"], ETH: ["late"], XRP: []}, ttl=30)
    lease_store.release(ETH, "web-1", ["late"])
    wait_until(lambda: not desired(lease_store, idle_ttl=0.1)[2:])
    for client in ("stranger", "other"):
        assert not lease(lease_store, ETH, admission=one_each(), client=client)
    assert lease(lease_store, ETH, admission=one_each(), client="late")


def test_pinned_series_count_for_no_client(lease_store):
    limits = one_each(pinned=frozenset({BTC}))
    lease(lease_store, XRP, admission=one_each(), client="early")
    for series in (BTC, ETH):
        assert lease(lease_store, series, admission=limits, client="stranger")
    assert not lease(lease_store, XRP, admission=limits, client="stranger")
    # What was whitelisted since is counted no more.
    assert lease(lease_store, ETH, admission=one_each(pinned=frozenset({XRP})), client="early")


def test_client_holds_so_many_venues_that_are_not_pinned(lease_store):
    limits = Admission(idle_ttl=60, client_venue_limit=1, pinned=frozenset({BTC}))
    spot, futures = (SeriesId.parse(f"okx:{each}:BTC/USDT:1m") for each in ("spot", "futures"))
    for series in (BTC, ETH, spot, XRP, SeriesId.parse("okx:spot:ETH/USDT:1m")):
        assert lease(lease_store, series, admission=limits, client="stranger")
    assert not lease(lease_store, futures, admission=limits, client="stranger")
    assert lease(lease_store, futures, admission=limits, client="honest")
    # Nor by joining: another client has it followed.
    assert not lease(lease_store, futures, admission=limits, client="stranger")


def test_client_limit_is_atomic_over_concurrent_instances(lease_store):
    limits = Admission(idle_ttl=60, client_limit=5)
    series = [SeriesId.parse(f"binance:spot:C{n}/USDT:1m") for n in range(40)]
    start = threading.Barrier(8)

    def instance(number):
        start.wait(patience(5))
        for each in series[number:] + series[:number]:
            lease(lease_store, each, f"web-{number}", admission=limits, client="stranger")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(instance, range(8)))
    assert len(desired(lease_store)) == 5


def test_refused_client_leaves_nothing_in_valkey(valkey_lease_store):
    limits = Admission(idle_ttl=60, limit=1, client_limit=1)
    lease(valkey_lease_store, BTC, admission=limits, client="first")
    for n in range(20):
        assert not lease(valkey_lease_store, ETH, admission=limits, client=f"refused-{n}")
    assert clients_in(valkey_lease_store) == ["first"]
    valkey_lease_store.release(BTC, "web-1", ["first"])
    assert clients_in(valkey_lease_store) == []


def clients_in(store):
    keys = store._client.keys(f"{store._prefix()}client:*")
    assert all(0 < store._client.pttl(key) <= 30_000 for key in keys)
    return [key.rpartition(":")[2] for key in keys]
