"""The sum of a start-up sync, once the series of a job have ended theirs."""

from __future__ import annotations

import orjson
import pytest

from market import debug_events
from market.debug_events import BEGINNING, MemoryRing
from market.domain.feed import FeedError
from market.domain.series import SeriesId
from market.ingest import progress
from market.ingest.backfill import FillResult
from market.ingest.lease_store_memory import MemoryLeaseStore
from market.ingest.progress import START_UP
from market.ingest.start_up_sync import StartUpSync

BTC, ETH, SOL = (SeriesId.parse(f"sim:spot:{base}/USDT:1m") for base in ("BTC", "ETH", "SOL"))
SUM = "write.startup.kline_sync.done"
SPAN = (60, 600)
SERIES_DATA = {
    "target_time",
    "before_head_time",
    "after_head_time",
    "covered_candles",
    "refreshed",
    "lagging",
    "error",
    "duration_ms",
}


@pytest.fixture
def ring(monkeypatch):
    ring = MemoryRing()
    monkeypatch.setattr(debug_events, "debug_ring", lambda: ring)
    return ring


@pytest.fixture(autouse=True)
def leases(monkeypatch):
    store = MemoryLeaseStore()
    monkeypatch.setattr(progress, "lease_store", lambda: store)
    return store


def sums(ring):
    events = [orjson.loads(each.event) for each in ring.after(BEGINNING)]
    return [each["data"] for each in events if each["event"] == SUM]


async def synced(sync, series, *, head=SPAN[1]):
    async def filled(*, on_page):
        if head is None:
            raise FeedError("gone")
        return FillResult(stored=1, missing_ranges=(), through=SPAN[1])

    await sync.run(series, filled, SPAN, head=lambda: head)


async def test_sum_counts_series_once_all_have_ended(ring, leases):
    sync = StartUpSync("sim", "spot", 100)
    for series in (BTC, ETH, SOL):
        sync.begin(series)
    await synced(sync, BTC)
    assert leases.progress(BTC).reason == START_UP
    with pytest.raises(FeedError):
        await synced(sync, ETH, head=None)
    # It is tried again: its first outcome counts.
    await synced(sync, ETH)
    assert sums(ring) == []
    await synced(sync, SOL, head=540)
    (found,) = sums(ring)
    assert found.pop("duration_ms") >= 0
    assert found == {
        "exchange": "sim",
        "market": "spot",
        "series_total": 3,
        "series_synced": 1,
        "series_lagging": 1,
        "series_errors": 1,
        "target_candles": 100,
    }


async def test_series_that_is_given_up_is_not_awaited(ring):
    sync = StartUpSync("sim", "spot", 100)
    sync.begin(BTC)
    sync.begin(ETH)
    await synced(sync, BTC)
    sync.ended(ETH)
    (found,) = sums(ring)
    assert found["series_total"] == 1


async def test_series_that_begin_later_are_another_round(ring):
    sync = StartUpSync("sim", "spot", 100)
    for series in (BTC, ETH):
        sync.begin(series)
        await synced(sync, series)
    assert [each["series_total"] for each in sums(ring)] == [1, 1]


async def test_nothing_is_awaited_without_a_sync(ring):
    sync = StartUpSync("sim", "spot", 0)
    sync.begin(BTC)
    sync.ended(BTC, "synced")
    assert sums(ring) == []


@pytest.mark.parametrize(
    ("heads", "stored", "refreshed"),
    [([600, 600], 0, False), ([600, 600], 3, True), ([540, 600], 1, True)],
)
async def test_series_is_refreshed_by_what_is_stored(ring, heads, stored, refreshed):
    async def filled(*, on_page):
        return FillResult(stored=stored, missing_ranges=[], through=SPAN[1])

    await StartUpSync("sim", "spot", 100).run(BTC, filled, SPAN, head=iter(heads).__next__)
    (event,) = [orjson.loads(each.event) for each in ring.after(BEGINNING)]
    assert event["data"]["refreshed"] is refreshed
    assert set(event["data"]) == SERIES_DATA


async def test_series_that_fails_in_the_middle_is_refreshed_up_to_there(ring):
    async def filled(*, on_page):
        raise FeedError("gone")

    with pytest.raises(FeedError):
        await StartUpSync("sim", "spot", 100).run(BTC, filled, SPAN, head=iter([540, 570]).__next__)
    (event,) = [orjson.loads(each.event) for each in ring.after(BEGINNING)]
    assert event["data"]["refreshed"] is True
