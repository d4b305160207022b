"""An audit compares the store with the exchange candle by candle, and corrects it when asked."""

from __future__ import annotations

import pytest

from market.domain.feed import FeedError, Hole, Missing
from market.ingest import audit as audit_module
from market.ingest.audit import audit
from market.ingest.gap_ranges import GapEntry, GapState
from market.ingest.tests.exchange_fake import (
    SERIES,
    FakeFeed,
    at,
    candle_at,
    memory_ports,
    stored,
)


@pytest.fixture
def feed():
    feed = FakeFeed()
    for number in range(10):
        feed.add_candle(number)
    return feed


@pytest.fixture
def ports():
    return memory_ports()


def store(ports, *numbers, price=100.0):
    ports.committer.pipeline.ingest(SERIES, [candle_at(number, price) for number in numbers])


async def run(feed, ports, first=0, last=9, **options):
    found = []
    report = await audit(
        feed, SERIES, at(first), at(last), ports=ports, on_difference=found.append, **options
    )
    return report, found


async def test_equal_candles_are_counted_and_nothing_is_found(feed, ports):
    store(ports, *range(10))
    report, found = await run(feed, ports)
    assert (report.equal, report.compared, report.left, found) == (10, 10, 0, [])


async def test_each_kind_of_difference_is_found_at_its_time(feed, ports):
    store(ports, 0, 1, 2, 3, 5, 7, 8, 9)
    store(ports, 7, price=50.0)
    del feed.candles[SERIES][at(1)]
    feed.page = 20
    report, found = await run(feed, ports)
    assert [(one.candle_time, one.stored is None, one.exchange is None) for one in found] == [
        (at(1), False, True),
        (at(4), True, False),
        (at(6), True, False),
        (at(7), False, False),
    ]
    assert (report.equal, report.extra, report.missing, report.differing) == (6, 1, 2, 1)
    assert report.by_field == dict.fromkeys(["open", "high", "low", "close"], 1)
    assert found[-1].fields == ("open", "high", "low", "close")


async def test_without_repair_nothing_is_written(feed, ports):
    store(ports, 0, 2)
    before = stored(ports), ports.store.state(SERIES)
    await run(feed, ports, last=2)
    assert (stored(ports), ports.store.state(SERIES)) == before


async def test_repair_stores_what_differs_as_a_revision(feed, ports):
    store(ports, 0, 1, 2, 3, 5, 6, 7, 8, 9)
    store(ports, 2, price=50.0)
    epoch = ports.store.state(SERIES).epoch
    report, _ = await run(feed, ports, repair=True)
    assert stored(ports) == [candle_at(number) for number in range(10)]
    assert (report.repaired, report.left) == (2, 0)
    # One for each page with a difference, and none for those without.
    changes = ports.publisher.changes
    assert [change.revised_from for change in changes] == [at(2), at(4)]
    assert [each.event for change in changes for each in change.notices] == ["candle.revised"] * 2
    assert ports.store.state(SERIES).epoch == epoch + 2


async def test_repair_leaves_what_the_exchange_lacks(feed, ports):
    store(ports, *range(10))
    del feed.candles[SERIES][at(4)]
    feed.page = 20
    report, _ = await run(feed, ports, repair=True)
    assert len(stored(ports)) == 10
    assert (report.extra, report.repaired, report.left) == (1, 0, 1)


async def test_repair_settles_the_recorded_gap(feed, ports):
    store(ports, 0, 1, 3)
    ports.ledger.record(
        GapEntry(series=SERIES, from_time=at(2), to_time=at(2), reason="test", state=GapState.OPEN)
    )
    await run(feed, ports, last=3, repair=True)
    assert [entry.state for entry in ports.ledger.entries(SERIES)] == [GapState.REPAIRED]


@pytest.mark.parametrize("why", [Missing.UNSERVED, Missing.UNANSWERED, Missing.DROPPED])
async def test_absence_without_proof_is_no_difference(feed, ports, why, monkeypatch):
    store(ports, *range(10))

    async def history(series, start, end):
        async for page in FakeFeed.history(feed, series, at(5), end):
            first = (
                (Hole(from_time=start, to_time=at(4), why=why),) if page.asked[0] == at(5) else ()
            )
            asked = (start if first else page.asked[0], page.asked[1])
            yield type(page)(candles=page.candles, asked=asked, holes=(*first, *page.holes))

    monkeypatch.setattr(feed, "history", history)
    report, found = await run(feed, ports, repair=True)
    assert (report.equal, found, report.unproven) == (5, [], {why: 5})


async def test_wide_window_is_compared_in_parts(feed, ports, monkeypatch):
    monkeypatch.setattr(audit_module, "CHUNK", 3)
    feed.page = 20
    store(ports, 0, 1, 2, 4, 5, 6, 8, 9)
    report, found = await run(feed, ports)
    assert (report.equal, [one.candle_time for one in found]) == (8, [at(3), at(7)])


async def test_failure_keeps_what_was_corrected(feed, ports):
    store(ports, *range(10), price=50.0)
    feed.faults, feed.pages_before_fault = [FeedError("gone")], 1
    with pytest.raises(FeedError):
        await run(feed, ports, repair=True)
    assert stored(ports)[:3] == [candle_at(number) for number in range(3)]
