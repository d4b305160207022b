"""Backfill stores page by page, resumes, and accounts for what the exchange lacks."""

from __future__ import annotations

from dataclasses import replace

import pytest

from market.domain.feed import FeedError, Missing, UnknownSymbol
from market.domain.gaps import merged
from market.domain.store import StaleFence
from market.ingest import backfill
from market.ingest.backfill import fill, missing_between, noted_hole, settle_stored
from market.ingest.gap_ranges import Evidence, GapEntry, GapState
from market.ingest.tests.exchange_fake import (
    SERIES,
    STEP,
    FakeFeed,
    at,
    candle_at,
    memory_ports,
    stored,
)
from market.tests.builders import history_page


@pytest.fixture
def ports():
    return memory_ports()


@pytest.fixture
def feed():
    feed = FakeFeed()
    for number in range(10):
        feed.add_candle(number)
    return feed


async def run(feed, ports, first=0, last=9, **options):
    return await fill(feed, SERIES, at(first), at(last), ports=ports, **options)


def noted(ports):
    return [(e.from_time, e.to_time, e.state) for e in ports.ledger.entries(SERIES)]


async def test_fill_stores_and_announces_page_by_page(feed, ports):
    pages = []
    result = await run(feed, ports, on_page=pages.append)
    assert result == (10, [], at(9), {})
    assert stored(ports) == [candle_at(number) for number in range(10)]
    assert [len(page.candles) for page in pages] == [3, 3, 3, 1]
    assert ports.publisher.fresh[SERIES] == [at(number) for number in range(10)]


async def test_fill_twice_stores_and_announces_nothing_more(feed, ports):
    await run(feed, ports)
    before = len(ports.publisher.changes)
    assert (await run(feed, ports)).stored == 0
    assert len(ports.publisher.changes) == before


async def test_interrupted_fill_keeps_its_pages_and_is_resumed_later(feed, ports):
    feed.faults, feed.pages_before_fault = [FeedError("gone")], 2
    with pytest.raises(FeedError):
        await run(feed, ports)
    assert len(stored(ports)) == 6
    assert (await run(feed, ports, first=6)).stored == 4


async def test_pages_behind_the_head_are_stored_together(feed, ports, monkeypatch):
    """What an addition to the past costs grows with what is behind it, so there are few."""
    ports.committer.pipeline.ingest(SERIES, [candle_at(20)])
    pages = []
    result = await run(feed, ports, on_page=pages.append)
    assert (result.stored, result.through) == (10, at(9))
    assert [len(page.candles) for page in pages] == [3, 3, 3, 1]
    assert [len(change.past) for change in ports.publisher.changes] == [10]
    monkeypatch.setattr(backfill, "PAST_AT_ONCE", 5)
    for number in range(11, 20):
        feed.add_candle(number)
    await run(feed, ports, first=11, last=19)
    assert [len(change.past) for change in ports.publisher.changes[1:]] == [6, 3]


async def test_page_that_reaches_the_head_waits_for_no_other(feed, ports):
    ports.committer.pipeline.ingest(SERIES, [candle_at(4)])
    await run(feed, ports)
    sizes = [(len(each.past), len(each.fresh)) for each in ports.publisher.changes]
    assert sizes == [(4, 1), (0, 3), (0, 1)]


async def test_error_comes_behind_what_was_read_before_it(feed, ports):
    ports.committer.pipeline.ingest(SERIES, [candle_at(20)])
    feed.faults, feed.pages_before_fault = [FeedError("gone")], 2
    with pytest.raises(FeedError):
        await run(feed, ports)
    assert [len(change.past) for change in ports.publisher.changes] == [6]
    assert (await run(feed, ports, first=6)).stored == 4


async def test_fill_notes_a_hole_between_the_candles_of_one_answer_as_quiet(feed, ports):
    del feed.candles[SERIES][at(4)], feed.candles[SERIES][at(5)]
    result = await run(feed, ports)
    assert result.missing_ranges == [(at(4), at(5))]
    assert noted(ports) == [(at(4), at(5), GapState.QUIET)]


async def test_fill_notes_a_hole_it_could_not_read_as_open(feed, ports):
    ports.committer.pipeline.ingest(SERIES, [candle_at(0), candle_at(9)])
    feed.faults, feed.pages_before_fault = [FeedError("gone")], 1
    with pytest.raises(FeedError):
        await run(feed, ports)
    assert noted(ports) == [(at(3), at(8), GapState.OPEN)]


class Answers:
    """An exchange with the given answers, one for each request, and then an error if any."""

    def __init__(self, *pages, error=None):
        self.pages = pages
        self.error = error

    async def history(self, series, start, end):
        for page in self.pages:
            yield page
        if self.error is not None:
            raise self.error


def page(first, last, *numbers, why=Missing.UNANSWERED, detail="", rows=0):
    """The answer to a request for candles `first` to `last` that has some of them."""
    made = history_page([candle_at(n) for n in numbers], (at(first), at(last)), SERIES, why)
    holes = tuple(replace(hole, detail=detail, rows=rows) for hole in made.holes)
    return replace(made, holes=holes)


@pytest.fixture
def around(ports):
    """The candles around a hole are stored."""
    ports.committer.pipeline.ingest(SERIES, [candle_at(0), candle_at(9)])


@pytest.mark.parametrize("why", [Missing.UNANSWERED, Missing.UNSERVED, Missing.DROPPED])
async def test_answer_without_candles_is_no_proof(ports, around, why):
    answer = page(1, 8, why=why, detail="as it said", rows=3)
    result = await run(Answers(answer), ports)
    assert noted(ports) == [(at(1), at(8), GapState(why.value))]
    (entry,) = ports.ledger.entries(SERIES)
    assert (entry.reason, entry.rows, entry.evidence) == (
        "as it said",
        3,
        Evidence(asked=(at(1), at(8))),
    )
    assert result.reasons == {entry.state: "as it said"}


async def test_quiet_hole_has_the_candles_next_to_it_as_evidence(ports):
    await run(Answers(page(0, 9, 0, 1, 5, 6, 9)), ports)
    assert [entry.evidence.bars for entry in ports.ledger.entries(SERIES)] == [
        (at(1), at(5)),
        (at(6), at(9)),
    ]


async def test_candle_that_is_stored_although_the_exchange_lacks_it_is_no_hole(ports):
    ports.committer.pipeline.ingest(SERIES, [candle_at(3)])
    await run(Answers(page(0, 9, 0, 1, 5, 6, 7, 8, 9)), ports)
    assert noted(ports) == [(at(2), at(2), GapState.QUIET), (at(4), at(4), GapState.QUIET)]


async def test_window_that_is_requested_again_counts_by_the_newer_answer(ports, around):
    # The first answer has only the newest part; the older one is requested again.
    pages = page(0, 9, 8, 9), page(0, 7, 0, 1, 2, 5, 6, 7)
    await run(Answers(*pages), ports)
    assert noted(ports) == [(at(3), at(4), GapState.QUIET)]


async def test_times_that_no_answer_covers_are_open(ports, around):
    await run(Answers(page(0, 4, 0, 1, 2)), ports)
    assert noted(ports) == [
        (at(3), at(4), GapState.UNANSWERED),
        (at(5), at(8), GapState.OPEN),
    ]


@pytest.mark.parametrize(
    ("why", "expected"),
    [
        (Missing.UNANSWERED, []),
        (Missing.UNSERVED, [(at(-5), at(-1), GapState.UNSERVED)]),
        (Missing.DROPPED, [(at(-5), at(-1), GapState.DROPPED)]),
    ],
)
async def test_times_before_the_first_candle_are_noted_only_with_a_reason(ports, why, expected):
    await run(Answers(page(-5, -1, why=why), page(0, 2, 0, 1, 2)), ports, first=-5)
    assert noted(ports) == expected


async def test_refusal_of_the_series_leaves_what_was_not_read_as_unserved(ports, around):
    feed = Answers(page(0, 3, 0, 1, 2, 3), error=UnknownSymbol("no longer listed"))
    with pytest.raises(UnknownSymbol):
        await run(feed, ports)
    assert noted(ports) == [(at(4), at(8), GapState.UNSERVED)]
    assert ports.ledger.entries(SERIES)[0].reason == "no longer listed"


def test_what_was_stored_otherwise_is_repaired_in_the_ledger(ports, around):
    ports.ledger.record(
        noted_hole(SERIES, (at(1), at(8)), state=GapState.UNSERVED, reason="too old")
    )
    ports.committer.pipeline.ingest(SERIES, [candle_at(n) for n in (3, 4, 7)])
    settle_stored(ports, SERIES, (at(0), at(9)))
    assert noted(ports) == [
        (at(1), at(2), GapState.UNSERVED),
        (at(3), at(4), GapState.REPAIRED),
        (at(5), at(6), GapState.UNSERVED),
        (at(7), at(7), GapState.REPAIRED),
        (at(8), at(8), GapState.UNSERVED),
    ]


async def test_fill_marks_a_noted_hole_as_filled_only_where_it_is(feed, ports):
    ports.committer.pipeline.ingest(SERIES, [candle_at(0), candle_at(9)])
    ports.ledger.record(
        GapEntry(series=SERIES, from_time=at(1), to_time=at(8), reason="test", state=GapState.OPEN)
    )
    await run(feed, ports, first=3, last=5)
    assert noted(ports) == [
        (at(1), at(2), GapState.OPEN),
        (at(3), at(5), GapState.REPAIRED),
        (at(6), at(8), GapState.OPEN),
    ]


async def test_fill_takes_nothing_before_or_behind_the_candles_for_a_hole(feed, ports):
    result = await run(feed, ports, first=-50, last=60)
    assert (result.stored, result.missing_ranges) == (10, [])


async def test_fill_with_a_stale_token_stores_nothing(feed, ports):
    fence = ports.store.next_fence(SERIES)
    ports.store.next_fence(SERIES)
    with pytest.raises(StaleFence):
        await run(feed, ports, fence=fence)
    assert stored(ports) == []


def test_missing_ranges_cover_the_ends_and_the_holes(ports):
    ports.committer.pipeline.ingest(SERIES, [candle_at(number) for number in (2, 3, 6)])
    assert missing_between(ports.store, SERIES, (at(0), at(9))) == [
        (at(0), at(1)),
        (at(4), at(5)),
        (at(7), at(9)),
    ]
    assert missing_between(ports.store, SERIES, (at(2), at(3))) == []
    assert missing_between(ports.store, SERIES, (at(7), at(9))) == [(at(7), at(9))]


def test_near_ranges_are_read_as_one():
    assert merged([(0, 60), (120, 180), (900, 960)], reach=300) == [(0, 180), (900, 960)]
    # A part that was asked for twice does not shorten the whole.
    assert merged([(0, 600), (120, 180)], reach=60) == [(0, 600)]


async def test_what_retention_removes_is_not_fetched_back(feed, ports, monkeypatch):
    bounds = {SERIES.timeframe: 4 * STEP}
    monkeypatch.setattr("market.runtime.retention_bounds", lambda: bounds)
    ports.committer.pipeline.ingest(SERIES, [candle_at(9)])
    # Neither by a request for an old range, which a repair makes, nor by one that begins there.
    assert await run(feed, ports, last=3) == (0, [], None, {})
    assert stored(ports) == [candle_at(9)] and noted(ports) == []
    assert (await run(feed, ports)).stored == 4
    assert stored(ports) == [candle_at(number) for number in range(5, 10)]
