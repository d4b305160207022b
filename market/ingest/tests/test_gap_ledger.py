"""The ledger of holes: how ranges combine, and one contract for memory and PostgreSQL."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from market.domain.series import SeriesId
from market.ingest import gap_ledger
from market.ingest.gap_ledger import (
    MAX_ATTEMPTS,
    MemoryGapLedger,
    PostgresGapLedger,
    is_due,
    pause_after,
)
from market.ingest.gap_ranges import GapEntry, GapState, changed, noticed
from market.models import GapRecord, Series

BTC = SeriesId.parse("sim:spot:BTC/USDT:1m")
ETH = SeriesId.parse("sim:spot:ETH/USDT:1m")
OPEN, REPAIRING, FILLED, ABSENT = GapState


def hole(start, end, state=OPEN, *, series=BTC, attempts=0):
    """A hole from minute `start` to minute `end`, both missing."""
    return GapEntry(
        series=series,
        from_time=start * 60,
        to_time=end * 60,
        reason="test",
        state=state,
        attempts=attempts,
    )


def shape(entries):
    return [(e.from_time // 60, e.to_time // 60, e.state) for e in entries]


@pytest.fixture(params=["memory", "postgres"])
def ledger(request):
    if request.param == "memory":
        return MemoryGapLedger()
    request.getfixturevalue("transactional_db")
    for series in (BTC, ETH):
        Series.objects.create(name=str(series))
    return PostgresGapLedger()


def test_holes_noticed_side_by_side_become_one(ledger):
    for start, end in ((10, 12), (20, 20), (13, 15)):
        ledger.record(hole(start, end))
    assert shape(ledger.entries(BTC)) == [(10, 15, OPEN), (20, 20, OPEN)]


def test_hole_noticed_twice_changes_nothing(ledger):
    ledger.record(hole(10, 12))
    before = ledger.entries()
    ledger.record(hole(11, 12))
    assert ledger.entries() == before


def test_noticing_again_opens_nothing_that_is_settled_as_absent(ledger):
    ledger.record(hole(10, 12, ABSENT))
    ledger.record(hole(9, 13))
    assert shape(ledger.entries()) == [(9, 9, OPEN), (10, 12, ABSENT), (13, 13, OPEN)]


def test_absent_part_cuts_an_open_hole(ledger):
    ledger.record(hole(10, 20))
    ledger.record(hole(12, 14, ABSENT))
    assert shape(ledger.entries()) == [(10, 11, OPEN), (12, 14, ABSENT), (15, 20, OPEN)]


def test_filled_hole_that_opens_again_is_open(ledger):
    ledger.record(hole(10, 12, FILLED))
    ledger.record(hole(11, 11))
    assert shape(ledger.entries()) == [(10, 10, FILLED), (11, 11, OPEN), (12, 12, FILLED)]


def test_series_are_kept_apart_and_in_order(ledger):
    ledger.record(hole(1, 2, series=ETH))
    ledger.record(hole(1, 2, series=BTC))
    assert [e.series for e in ledger.entries()] == [BTC, ETH]
    assert [e.series for e in ledger.entries(ETH)] == [ETH]


def test_state_changes_only_where_something_is_noted(ledger):
    ledger.record(hole(10, 12))
    ledger.set_state(BTC, (0, 11 * 60), state=FILLED)
    ledger.set_state(ETH, (0, 11 * 60), state=FILLED)
    assert shape(ledger.entries()) == [(10, 11, FILLED), (12, 12, OPEN)]


def test_state_changes_only_from_the_named_state(ledger):
    ledger.record(hole(10, 12))
    ledger.record(hole(20, 22, ABSENT))
    ledger.set_state(BTC, (0, 6000), state=FILLED, was=OPEN)
    assert shape(ledger.entries()) == [(10, 12, FILLED), (20, 22, ABSENT)]
    assert shape(ledger.entries(states=[ABSENT])) == [(20, 22, ABSENT)]


def test_due_hole_is_repaired_by_one_only(ledger):
    ledger.record(hole(10, 12))
    ledger.record(hole(20, 22, ABSENT))
    (due,) = ledger.due(limit=10)
    assert shape([due]) == [(10, 12, OPEN)]
    assert [ledger.begin_repair(due), ledger.begin_repair(due)] == [True, False]
    assert shape(ledger.entries(states=[REPAIRING])) == [(10, 12, REPAIRING)]
    assert ledger.entries(states=[REPAIRING])[0].attempts == 1
    assert ledger.due(limit=10) == []


def test_failed_repair_waits_before_the_next(ledger):
    ledger.record(hole(10, 12))
    ledger.begin_repair(ledger.due(limit=1)[0])
    ledger.set_state(BTC, (600, 720), state=OPEN, was=REPAIRING)
    assert shape(ledger.entries()) == [(10, 12, OPEN)]
    assert ledger.due(limit=10) == []


def test_pause_grows_with_each_attempt_until_the_last():
    tried = [replace(hole(1, 2, attempts=n), updated_at=1000.0) for n in range(MAX_ATTEMPTS + 1)]
    assert [pause_after(n) for n in range(4)] == [0, 30, 60, 120]
    assert is_due(tried[2], 1060.0) and not is_due(tried[2], 1059.9)
    assert not is_due(tried[MAX_ATTEMPTS], 1e12)


def test_repair_that_died_is_due_again(transactional_db):
    ledger = PostgresGapLedger()
    Series.objects.create(name=str(BTC))
    ledger.record(hole(10, 12, REPAIRING))
    assert ledger.due(limit=1) == []
    GapRecord.objects.update(updated_at=datetime(2020, 1, 1, tzinfo=UTC))
    (due,) = ledger.due(limit=1)
    assert is_due(due, due.updated_at + gap_ledger.REPAIR_TIMEOUT_S)
    assert ledger.begin_repair(due)


def test_only_the_newest_settled_holes_are_kept(ledger, monkeypatch):
    monkeypatch.setattr(gap_ledger, "KEPT_SETTLED", 2)
    ledger.record(hole(0, 0))
    for minute in (2, 4, 6):
        ledger.record(hole(minute, minute, ABSENT))
    assert shape(ledger.entries()) == [(0, 0, OPEN), (4, 4, ABSENT), (6, 6, ABSENT)]


minutes = st.integers(0, 30)
ranges = st.tuples(minutes, minutes).map(sorted)
actions = st.lists(st.tuples(ranges, st.sampled_from(GapState), st.booleans()), max_size=12)


@given(actions)
def test_entries_stay_disjoint_and_forget_no_noticed_time(steps):
    entries, seen = [], set()
    for (start, end), state, is_news in steps:
        if is_news:
            entries = noticed(entries, hole(start, end, state))
            seen |= set(range(start, end + 1))
        else:
            entries = changed(entries, (start * 60, end * 60), state=state, was=None, now=1.0)
        covered = [n for s, e, _ in shape(entries) for n in range(s, e + 1)]
        assert covered == sorted(seen)
