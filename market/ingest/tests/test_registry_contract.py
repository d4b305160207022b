"""The contract of the ingest registry, held by the memory and the Valkey implementation."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from market.domain.registry import (
    IDLE,
    Admission,
    BackfillProgress,
    Group,
    JobReport,
    Member,
    RegistryUnavailable,
)
from market.domain.series import SeriesId
from market.ingest.registry_valkey import ValkeyRegistry, connect
from market.ingest.tests.waiting import wait_until

BTC = SeriesId.parse("binance:futures:BTC/USDT:1m")
ETH = SeriesId.parse("binance:futures:ETH/USDT:1m")
XRP = SeriesId.parse("binance:futures:XRP/USDT:1m")
GROUP = Group.of(BTC)
FREE = Admission(idle_ttl=60)
REPORT = JobReport(state="running", started_at=1.5, last_candle_time=60, guardrail={"a": [1, None]})


def at_most(limit, *, idle_ttl=60, pinned=()):
    return Admission(idle_ttl=idle_ttl, limit=limit, pinned=frozenset(pinned))


def lease(registry, series, instance="web-1", *, ttl=30, admission=FREE):
    return registry.lease(series, instance, ttl=ttl, admission=admission)


def desired(registry, idle_ttl=60):
    return [(each.series, each.leases) for each in registry.leased(idle_ttl=idle_ttl)]


def test_lease_makes_a_series_desired(registry):
    assert lease(registry, ETH)
    assert lease(registry, BTC)
    assert desired(registry) == [(BTC, 1), (ETH, 1)]


def test_leases_are_counted_per_instance(registry):
    for instance in ("web-1", "web-1", "web-2"):
        assert lease(registry, BTC, instance)
    assert desired(registry) == [(BTC, 2)]


def test_released_series_lingers_since_its_last_lease_ended(registry):
    lease(registry, BTC, "web-1")
    lease(registry, BTC, "web-2")
    registry.release(BTC, "web-1")
    (watched,) = registry.leased(idle_ttl=60)
    registry.release(BTC, "web-2")
    (lingering,) = registry.leased(idle_ttl=60)
    assert (watched.leases, lingering.leases) == (1, 0)
    assert lingering.leased_until < watched.leased_until


def test_idle_series_is_released_after_its_time(registry):
    lease(registry, BTC)
    registry.release(BTC, "web-1")
    assert desired(registry, idle_ttl=60) == [(BTC, 0)]
    wait_until(lambda: desired(registry, idle_ttl=0.1) == [])


def test_release_of_a_lease_that_is_not_held_changes_nothing(registry):
    registry.release(BTC, "web-1")
    assert desired(registry) == []
    lease(registry, BTC, "web-1")
    registry.release(BTC, "web-2")
    assert desired(registry) == [(BTC, 1)]


def test_lease_of_a_crashed_instance_runs_out_by_itself(registry):
    lease(registry, BTC, "crashed", ttl=0.1)
    lease(registry, BTC, "alive")
    wait_until(lambda: desired(registry) == [(BTC, 1)])
    registry.release(BTC, "alive")
    wait_until(lambda: desired(registry, idle_ttl=0.1) == [])


def test_renewing_keeps_leases_and_takes_lost_ones_again(registry):
    lease(registry, BTC, ttl=0.2)
    registry.renew("web-1", [BTC, ETH], ttl=30)
    registry.renew("web-1", [], ttl=30)
    assert desired(registry) == [(BTC, 1), (ETH, 1)]
    assert min(each.leased_until for each in registry.leased(idle_ttl=60)) > 1_700_000_000


def test_limit_refuses_another_series_while_all_are_watched(registry):
    assert lease(registry, BTC, admission=at_most(1))
    assert not lease(registry, ETH, admission=at_most(1))
    assert desired(registry) == [(BTC, 1)]


def test_limit_accepts_another_watcher_of_an_admitted_series(registry):
    lease(registry, BTC, admission=at_most(1))
    assert lease(registry, BTC, "web-2", admission=at_most(1))


def test_limit_counts_no_pinned_series_and_accepts_them_always(registry):
    limits = at_most(1, pinned=[BTC])
    assert lease(registry, BTC, admission=limits)
    assert lease(registry, ETH, admission=limits)
    assert not lease(registry, XRP, admission=limits)
    assert lease(registry, XRP, admission=at_most(1, pinned=[BTC, XRP]))


def test_limit_evicts_the_series_that_is_idle_longest(registry):
    limits = at_most(2)
    for series in (ETH, BTC):
        lease(registry, series, admission=limits)
    registry.release(ETH, "web-1")
    (idle_since,) = [e.leased_until for e in registry.leased(idle_ttl=60) if e.series == ETH]
    registry.release(BTC, "web-1")
    wait_until(lambda: _later(registry, BTC, idle_since))
    assert lease(registry, XRP, admission=limits)
    assert desired(registry) == [(BTC, 0), (XRP, 1)]


def _later(registry, series, time):
    """Whether `series` went idle after `time`; the registry's clock ticks in milliseconds."""
    (until,) = [e.leased_until for e in registry.leased(idle_ttl=60) if e.series == series]
    if until <= time:
        registry.renew("web-1", [series], ttl=30)
        registry.release(series, "web-1")
    return until > time


def test_lowered_limit_evicts_as_many_as_it_must(registry):
    for series in (BTC, ETH):
        lease(registry, series)
        registry.release(series, "web-1")
    assert lease(registry, XRP, admission=at_most(1))
    assert desired(registry) == [(XRP, 1)]


def test_admission_is_atomic_over_concurrent_instances(registry):
    series = [SeriesId.parse(f"binance:spot:C{n}/USDT:1m") for n in range(40)]
    start = threading.Barrier(8)

    def instance(number):
        start.wait(5)
        return sum(lease(registry, each, f"web-{number}", admission=at_most(5)) for each in series)

    with ThreadPoolExecutor(8) as pool:
        accepted = list(pool.map(instance, range(8)))
    assert len(desired(registry)) == 5
    assert sum(accepted) == sum(count for _, count in desired(registry)) == 40


def test_group_has_one_owner(registry):
    assert registry.take_group(GROUP, "first", ttl=30)
    assert not registry.take_group(GROUP, "second", ttl=30)
    assert not registry.renew_group(GROUP, "second", ttl=30)
    assert registry.owned_groups([GROUP, Group("sim", "spot")]) == {GROUP}
    assert registry.owned_groups([]) == set()


def test_group_of_a_dead_owner_is_taken_over(registry):
    registry.take_group(GROUP, "dead", ttl=0.1)
    wait_until(lambda: registry.take_group(GROUP, "next", ttl=30))
    assert not registry.renew_group(GROUP, "dead", ttl=30)
    registry.release_group(GROUP, "dead")
    assert registry.owned_groups([GROUP]) == {GROUP}


def test_group_ownership_is_kept_by_renewing(registry):
    registry.take_group(GROUP, "owner", ttl=0.3)
    assert registry.renew_group(GROUP, "owner", ttl=30)
    assert not registry.take_group(GROUP, "other", ttl=30)
    registry.release_group(GROUP, "owner")
    assert registry.owned_groups([GROUP]) == set()


def test_vanished_ownership_must_be_taken_anew(registry):
    registry.take_group(GROUP, "owner", ttl=0.05)
    wait_until(lambda: not registry.owned_groups([GROUP]))
    assert not registry.renew_group(GROUP, "owner", ttl=30)
    assert registry.take_group(GROUP, "owner", ttl=30)


def test_marker_is_put_up_once_until_it_ends(registry):
    assert registry.claim("start", ttl=30)
    assert not registry.claim("start", ttl=30)
    assert registry.is_claimed("start") and not registry.is_claimed("other")
    registry.unclaim("start")
    assert not registry.is_claimed("start")
    assert registry.claim("start", ttl=0.05)
    wait_until(lambda: registry.claim("start", ttl=30))


def test_report_reads_back_equal_until_it_ends(registry):
    registry.report({BTC: REPORT}, ttl=30)
    registry.report({ETH: REPORT}, ttl=0.05)
    registry.report({}, ttl=30)
    assert registry.reports([BTC, XRP])[BTC] == REPORT
    wait_until(lambda: registry.reports([BTC, ETH, XRP]) == {BTC: REPORT})
    registry.drop_reports([BTC])
    registry.drop_reports([])
    assert registry.reports([BTC]) == {}
    assert registry.reports([]) == {}


def test_members_read_back_by_kind_and_name_until_they_end(registry):
    web = Member(kind="web", name="b:2", started_at=1.5, seen_at=2.5, watchers=3, subscriptions=4)
    beat = Member(kind="beat", name="a:1", started_at=1.0, seen_at=2.0)
    registry.announce(replace(web, watchers=1), ttl=30)
    registry.announce(web, ttl=30)
    registry.announce(beat, ttl=30)
    registry.announce(replace(beat, name="a:0"), ttl=0.05)
    wait_until(lambda: registry.members() == [beat, web])
    registry.withdraw(web)
    registry.withdraw(web)
    assert registry.members() == [beat]
    registry.announce(web, ttl=30)
    assert registry.members() == [beat, web]


def test_progress_reads_back_equal(registry):
    progress = BackfillProgress(state="running", started_at=7, start_missing_seconds=60)
    assert registry.progress(BTC) == IDLE
    registry.set_progress(BTC, progress)
    assert registry.progress(BTC) == progress


def test_unreachable_valkey_is_named_as_such():
    unreachable = ValkeyRegistry(connect("redis://127.0.0.1:1/0"))
    with pytest.raises(RegistryUnavailable):
        unreachable.leased(idle_ttl=1)
    with pytest.raises(RegistryUnavailable):
        lease(unreachable, BTC)
