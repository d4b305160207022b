"""A new series has its newest candles first, and never a hole that its exchange has not."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from market.domain.feed import FeedError
from market.domain.lease_store import LeaseStoreUnavailable
from market.ingest import backwards
from market.ingest.backwards import fill_backwards, fill_newest, fill_span
from market.ingest.gap_ranges import GapState
from market.ingest.tests.exchange_fake import (
    SERIES,
    STEP,
    FakeFeed,
    FlakyPipeline,
    at,
    candle_at,
    memory_ports,
    stored,
)
from tests.examples import examples


class Market:
    """An exchange with candles of the given numbers, and an empty store."""

    def __init__(self, numbers, *, last, page):
        self.feed = FakeFeed(page)
        for number in numbers:
            self.feed.add_candle(number)
        self.feed.time = at(last + 1)
        self.last = last
        self.ports = memory_ports()
        # What was stored after each commit.
        self.states = []

    async def between(self):
        self.states.append(stored(self.ports))

    async def read(self, first):
        options = {"ports": self.ports, "on_page": lambda page: None}
        newest = await fill_newest(self.feed, SERIES, at(first), at(self.last), **options)
        if newest.through is not None:
            await self.between()
            await fill_backwards(self.feed, SERIES, at(first), between=self.between, **options)

    def truth(self, first):
        known = self.feed.candles[SERIES]
        return [known[time] for time in sorted(known) if at(first) <= time <= at(self.last)]

    def unnoted(self):
        """Open times that are missing between stored candles and not in the ledger."""
        times = [candle.candle_time for candle in stored(self.ports)]
        noted = {
            time
            for entry in self.ports.ledger.entries(SERIES)
            if entry.state is not GapState.REPAIRED
            for time in range(entry.from_time, entry.to_time + STEP, STEP)
        }
        return set(range(times[0], times[-1], STEP)) - set(times) - noted if times else set()


@pytest.fixture(autouse=True)
def small_additions(monkeypatch):
    monkeypatch.setattr(backwards, "MOST_AT_ONCE", 5)


async def test_newest_page_comes_first_and_the_rest_from_right_to_left():
    market = Market(range(20), last=19, page=4)
    await market.read(2)
    firsts = dict.fromkeys(state[0].candle_time for state in market.states)
    assert list(firsts) == [at(n) for n in (16, 11, 6)]
    assert all(state[-1].candle_time == at(19) for state in market.states)
    assert market.ports.publisher.fresh[SERIES] == [at(n) for n in range(16, 20)]
    assert stored(market.ports) == market.truth(2)


async def test_each_addition_is_one_transaction():
    market = Market(range(20), last=19, page=3)
    await market.read(0)
    sizes = [len(batch) for batch in market.ports.committer.pipeline.batches]
    # With the candle that is stored already: so one answer has candles on both sides of a hole.
    assert sizes == [3, 6, 6, 6, 3]


async def test_market_without_recent_trades_has_its_latest_candle():
    market = Market([0, 1, 2], last=19, page=4)
    await market.read(0)
    assert stored(market.ports) == market.truth(0)


async def test_hole_as_wide_as_an_addition_is_noted():
    market = Market([0, 1, 18, 19], last=19, page=2)
    await market.read(0)
    assert stored(market.ports) == market.truth(0)
    assert not market.unnoted()


async def test_failure_leaves_a_shorter_history_without_a_hole():
    market = Market(range(20), last=19, page=4)
    market.feed.faults, market.feed.pages_before_fault = [None, None, FeedError("gone")], 1
    with pytest.raises(FeedError):
        await market.read(0)
    assert stored(market.ports) == market.truth(11)
    await fill_backwards(market.feed, SERIES, at(0), ports=market.ports, on_page=lambda page: None)
    assert stored(market.ports) == market.truth(0)


numbers = st.sets(st.integers(0, 24), min_size=1)


@given(numbers, st.integers(2, 9), st.integers(0, 8))
@examples(0.5)
def test_store_is_the_newest_part_of_the_truth_at_every_moment(known, page, first):
    market = Market(known, last=24, page=page)
    asyncio.run(market.read(first))
    truth = market.truth(first)
    assert stored(market.ports) == truth
    assert all(state == truth[len(truth) - len(state) :] for state in market.states)
    assert not market.unnoted()
    # The head that is published never goes back, and is the newest from the first on.
    assert {change.state.head for change in market.ports.publisher.changes} <= {
        truth[-1].candle_time if truth else None
    }


@pytest.fixture
def process(monkeypatch):
    """A market whose ports are those of the process."""
    market = Market(range(20), last=19, page=4)
    monkeypatch.setattr(backwards, "runtime_ports", lambda: market.ports)
    return market


async def test_backfill_of_an_empty_series_brings_the_newest_first(process):
    result = await fill_span(process.feed, SERIES, at(0), at(19), on_page=lambda page: None)
    assert (result.stored, result.through, result.missing_ranges) == (20, at(19), [])
    assert process.ports.publisher.fresh[SERIES] == [at(n) for n in range(16, 20)]


async def test_backfill_of_a_series_with_candles_ascends(process):
    process.ports.committer.pipeline.ingest(SERIES, [candle_at(0)])
    await fill_span(process.feed, SERIES, at(0), at(19), on_page=lambda page: None)
    assert process.ports.publisher.fresh[SERIES] == [at(n) for n in range(1, 20)]
    assert isinstance(process.ports.committer.pipeline, FlakyPipeline)


async def test_note_is_kept_until_the_history_is_complete(lease_store, monkeypatch):
    monkeypatch.setattr(backwards, "lease_store", lambda: lease_store)
    assert not await backwards.is_unfinished(SERIES)
    await backwards.note_unfinished(SERIES)
    assert await backwards.is_unfinished(SERIES)
    await backwards.note_finished(SERIES)
    assert not await backwards.is_unfinished(SERIES)


async def test_lease_store_that_is_away_stops_no_read(monkeypatch):
    def away():
        raise LeaseStoreUnavailable("gone")

    monkeypatch.setattr(backwards, "lease_store", away)
    await backwards.note_unfinished(SERIES)
    assert not await backwards.is_unfinished(SERIES)
    await backwards.note_finished(SERIES)
