"""Derived series are followed by their base: whitelist, leases, repairs, forming candles."""

from __future__ import annotations

import asyncio
import json

import pytest

from lab.waiting import eventually
from market.domain.lease_store import Admission
from market.domain.series import SeriesId
from market.ingest import admission, coverage
from market.ingest.derive import source_range
from market.ingest.derived_forming import DerivedForming
from market.ingest.desired import desired_series
from market.ingest.lease_store_memory import MemoryLeaseStore
from market.ingest.leases import LeaseKeeper
from market.ingest.tests.exchange_fake import SERIES as BASE
from market.ingest.tests.exchange_fake import STEP, candle_at, memory_ports

FIVE, HOUR, DAY, ODD = (
    SeriesId.parse(f"binance:spot:BTC/USDT:{text}") for text in ("5m", "1h", "1d", "3m")
)
FREE = Admission(idle_ttl=60, limit=1)
# The first candle of a bucket of five minutes, by the test market's numbers.
FIRST = 1


@pytest.fixture(autouse=True)
def _derived(switched):
    switched(
        enable_pg_store=False,
        enable_derived_timeframes=True,
        enable_ondemand_ingest=True,
        enable_whitelist_ingest=True,
    )


@pytest.fixture
def whitelist(switched, tmp_path):
    def write(*series):
        path = tmp_path / "whitelist.json"
        path.write_text(json.dumps([str(each) for each in series]))
        switched(whitelist_path=str(path))

    write()
    return write


def keeper_on(lease_store, limits=FREE):
    async def admit(series):
        return limits

    return LeaseKeeper(lease_store, "web-1", ttl=30.0, admit=admit)


async def test_six_timeframes_of_one_symbol_are_one_lease(lease_store, whitelist):
    keeper = keeper_on(lease_store)
    timeframes = ("1m", "5m", "15m", "1h", "4h", "1d")
    for text in timeframes:
        await keeper.acquire(SeriesId.parse(f"binance:spot:BTC/USDT:{text}"), "1.2.3.4")
    (desired,) = desired_series(lease_store)
    assert (desired.series, desired.lease.leases) == (BASE, 1)
    assert sorted(str(each.timeframe) for each in desired.derived) == sorted(timeframes[1:])
    await keeper.release(HOUR)
    await keeper.close()


async def test_the_lease_lasts_until_the_last_timeframe_is_left(lease_store, whitelist):
    keeper = keeper_on(lease_store)
    await keeper.acquire(FIVE)
    await keeper.acquire(HOUR)
    await keeper.release(FIVE)
    assert [each.leases for each in lease_store.leased(idle_ttl=60)] == [1]
    await keeper.release(HOUR)
    assert [each.leases for each in lease_store.leased(idle_ttl=60)] == [0]
    await keeper.close()


async def test_what_is_watched_expires(lease_store):
    lease_store.watch([FIVE, HOUR], ttl=30)
    lease_store.watch([DAY], ttl=0.05)
    lease_store.watch([FIVE], ttl=0.05)
    await eventually(lambda: lease_store.watched() == {FIVE, HOUR})


def test_a_whitelisted_derived_series_pins_its_base(whitelist):
    whitelist(FIVE, HOUR, ODD)
    assert [(each.series, each.is_pinned) for each in desired_series(MemoryLeaseStore())] == [
        (BASE, True),
        (ODD, True),
    ]
    assert admission.is_admitted(DAY)


def test_an_older_process_may_lease_a_derived_series_itself(whitelist):
    leases = MemoryLeaseStore()
    leases.lease(FIVE, "old", ttl=30, admission=Admission(idle_ttl=60))
    leases.lease(BASE, "new", ttl=30, admission=Admission(idle_ttl=60))
    (desired,) = desired_series(leases)
    assert (desired.series, desired.lease.leases) == (BASE, 2)


def test_without_leases_every_derived_series_counts_as_watched(whitelist, switched):
    whitelist(BASE)
    assert desired_series(MemoryLeaseStore())[0].derived == frozenset()
    switched(enable_ondemand_ingest=False)
    assert len(desired_series(MemoryLeaseStore())[0].derived) == 5


def test_a_range_of_a_derived_series_is_fetched_of_its_base():
    assert source_range(HOUR, 7200, 10_800) == (BASE, 7200, 14_340)
    assert source_range(ODD, 7200, 10_800) == (ODD, 7200, 10_800)


def test_a_tail_of_a_derived_series_is_bounded(monkeypatch):
    asked = []
    monkeypatch.setattr(
        coverage, "request_backfill", lambda *given, **_: asked.append(given) or True
    )
    coverage.request_newest(DAY, 2000)
    ((series, start, end),) = asked
    assert (series, (end - start) // STEP + 1) == (BASE, coverage.MOST_BASE_CANDLES)


class Forming:
    """A base series with a forming candle, and what is derived of it."""

    def __init__(self, watched=(FIVE,), interval_s=0.0):
        self.ports = memory_ports()
        self.derived = DerivedForming(
            BASE, self.ports, interval_s=interval_s, watched=lambda: watched
        )

    def store(self, *numbers, price=100.0, told=True):
        change = self.ports.committer.pipeline.ingest(
            BASE, [candle_at(each, price) for each in numbers]
        )
        if told:
            self.derived.changed(change)

    def shown(self, number, price=100.0):
        """The derived candles that a forming base candle leads to."""
        before = len(self.ports.publisher.forming)
        asyncio.run(self.derived.publish(candle_at(number, price)))
        return self.ports.publisher.forming[before:]


def test_forming_candle_is_the_stored_part_of_the_bucket_and_the_base():
    chart = Forming()
    chart.store(FIRST - 1, FIRST)
    chart.store(FIRST + 1, price=120.0)
    ((series, shown),) = chart.shown(FIRST + 2, price=90.0)
    first, second, third = candle_at(FIRST), candle_at(FIRST + 1), candle_at(FIRST + 2)
    assert (series, shown.candle_time, shown.open) == (FIVE, first.candle_time, first.open)
    assert (shown.high, shown.low, shown.close) == (122.0, 88.0, 91.0)
    assert shown.volume == first.volume + second.volume + third.volume
    assert chart.ports.store.state(FIVE).head is None


def test_forming_candle_goes_on_as_candles_are_stored():
    chart = Forming()
    chart.store(FIRST)
    chart.shown(FIRST + 1)
    chart.store(FIRST + 1, price=200.0)
    assert chart.shown(FIRST + 2)[0][1].high == 202.0
    chart.store(*range(FIRST + 2, FIRST + 5))
    ((_, shown),) = chart.shown(FIRST + 5)
    assert shown == candle_at(FIRST + 5)


@pytest.mark.parametrize("told", [True, False])
def test_forming_candle_is_read_again_after_a_revision(told):
    chart = Forming()
    chart.store(FIRST, FIRST + 1)
    chart.shown(FIRST + 2)
    chart.store(FIRST, price=300.0, told=told)
    chart.store(FIRST + 2)
    assert chart.shown(FIRST + 3)[0][1].high == 302.0


def test_first_of_a_bucket_is_shown_at_once_and_others_are_throttled():
    chart = Forming(interval_s=60.0)
    assert len(chart.shown(FIRST + 3)) == 1
    assert chart.shown(FIRST + 4) == []
    assert len(chart.shown(FIRST + 5)) == 1


def test_nothing_is_shown_that_is_not_watched():
    assert Forming(watched=()).shown(FIRST) == []


def test_failing_read_does_not_fail_the_base(monkeypatch):
    chart = Forming()

    def fail(series):
        raise TimeoutError

    monkeypatch.setattr(chart.ports.store, "state", fail)
    assert chart.shown(FIRST) == []
