"""The ledger of holes: how ranges combine, and one contract for memory and PostgreSQL."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from hypothesis import given
from hypothesis import strategies as st

from market.domain.series import SeriesId
from market.ingest import gap_ledger
from market.ingest.gap_ledger import MemoryGapLedger, PostgresGapLedger
from market.ingest.gap_ranges import (
    MAX_ATTEMPTS,
    REPAIR_TIMEOUT_S,
    UNSETTLED,
    Evidence,
    GapEntry,
    GapState,
    changed,
    common,
    is_due,
    noticed,
    pause_after,
    without_all,
)
from market.models import GapRecord, Series

BTC = SeriesId.parse("sim:spot:BTC/USDT:1m")
ETH = SeriesId.parse("sim:spot:ETH/USDT:1m")
OPEN, REPAIRING, REPAIRED, QUIET, UNSERVED, UNANSWERED, DROPPED = GapState
HOUR = 3_600.0


def hole(start, end, state=OPEN, *, series=BTC, **fields):
    """A hole from minute `start` to minute `end`, both missing."""
    known = {"reason": "test", **fields}
    return GapEntry(series=series, from_time=start * 60, to_time=end * 60, state=state, **known)


def answer(start, end, *bars):
    """Evidence: asked for minutes `start` to `end`, with candles at two minutes."""
    around = (bars[0] * 60, bars[1] * 60) if bars else None
    return Evidence(asked=(start * 60, end * 60), bars=around)


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


@pytest.mark.parametrize("state", [QUIET, UNSERVED, UNANSWERED, DROPPED])
def test_noticing_again_opens_nothing_that_was_answered(ledger, state):
    ledger.record(hole(10, 12, state))
    ledger.record(hole(9, 13))
    assert shape(ledger.entries()) == [(9, 9, OPEN), (10, 12, state), (13, 13, OPEN)]


def test_quiet_part_cuts_an_open_hole(ledger):
    ledger.record(hole(10, 20))
    ledger.record(hole(12, 14, QUIET))
    assert shape(ledger.entries()) == [(10, 11, OPEN), (12, 14, QUIET), (15, 20, OPEN)]


def test_repaired_hole_that_opens_again_is_open(ledger):
    ledger.record(hole(10, 12, REPAIRED))
    ledger.record(hole(11, 11))
    assert shape(ledger.entries()) == [(10, 10, REPAIRED), (11, 11, OPEN), (12, 12, REPAIRED)]


@pytest.mark.parametrize(
    ("old", "new", "left"),
    [
        # What one answer has shown is not undone by an answer that shows nothing.
        (QUIET, UNANSWERED, QUIET),
        (QUIET, UNSERVED, QUIET),
        (UNSERVED, UNANSWERED, UNSERVED),
        # Newer evidence counts.
        (QUIET, DROPPED, DROPPED),
        (UNSERVED, QUIET, QUIET),
        (UNSERVED, DROPPED, DROPPED),
        (UNANSWERED, QUIET, QUIET),
        (UNANSWERED, DROPPED, DROPPED),
        (UNANSWERED, UNSERVED, UNSERVED),
        (DROPPED, UNANSWERED, UNANSWERED),
        (OPEN, UNANSWERED, UNANSWERED),
        (REPAIRING, UNANSWERED, UNANSWERED),
        (QUIET, REPAIRED, REPAIRED),
        (REPAIRED, QUIET, QUIET),
    ],
)
def test_newer_evidence_replaces_older_but_nothing_replaces_proof(ledger, old, new, left):
    ledger.record(hole(10, 12, old))
    ledger.record(hole(10, 12, new))
    assert shape(ledger.entries()) == [(10, 12, left)]


def test_evidence_rows_and_reason_are_kept(ledger):
    quiet = hole(10, 12, QUIET, evidence=answer(0, 99, 9, 13), reason="nothing was traded")
    refused = hole(20, 22, DROPPED, evidence=answer(0, 99), rows=3, reason="low above open")
    ledger.record(quiet, refused)
    for known, found in zip((quiet, refused), ledger.entries(), strict=True):
        assert (found.evidence, found.rows, found.reason) == (
            known.evidence,
            known.rows,
            known.reason,
        )
        assert found.noticed_at == found.updated_at > 0


def test_quiet_holes_with_candles_of_their_own_stay_apart(ledger):
    ledger.record(hole(10, 12, QUIET, evidence=answer(0, 20, 9, 13)))
    ledger.record(hole(13, 14, QUIET, evidence=answer(13, 30, 12, 15)))
    assert [e.evidence.bars for e in ledger.entries()] == [(540, 780), (720, 900)]


def test_unanswered_windows_side_by_side_become_one_that_was_asked_for_as_a_whole(ledger):
    ledger.record(hole(0, 99, UNANSWERED, evidence=answer(0, 99)))
    ledger.record(hole(100, 199, UNANSWERED, evidence=answer(100, 199)))
    (one,) = ledger.entries()
    assert (shape([one]), one.evidence) == ([(0, 199, UNANSWERED)], answer(0, 199))
    ledger.record(hole(200, 299, UNANSWERED))
    assert len(ledger.entries()) == 2, "what has no evidence was merged with what has"


def test_refused_rows_of_two_answers_add_up_and_of_one_answer_do_not(ledger):
    ledger.record(hole(0, 9, DROPPED, rows=10, evidence=answer(0, 9)))
    ledger.record(hole(10, 19, DROPPED, rows=5, evidence=answer(10, 19)))
    (one,) = ledger.entries()
    assert (one.rows, one.evidence) == (15, answer(0, 19))
    ledger.record(hole(5, 5, REPAIRED))
    ledger.record(hole(5, 5, DROPPED, rows=15, evidence=answer(0, 19)))
    (one,) = ledger.entries()
    assert one.rows == 15


def test_next_attempt_at_what_was_not_answered_is_hours_away(ledger):
    ledger.record(hole(10, 12, UNANSWERED), hole(20, 22), hole(30, 32, DROPPED))
    unanswered, opened, dropped = ledger.entries()
    assert unanswered.next_attempt_at == pytest.approx(unanswered.updated_at + HOUR)
    assert dropped.next_attempt_at == pytest.approx(dropped.updated_at + HOUR)
    assert shape(ledger.due(limit=10)) == shape([opened])


def test_noticing_what_was_not_answered_again_delays_no_attempt(ledger):
    ledger.record(hole(10, 12, UNANSWERED))
    before = ledger.entries()
    ledger.record(hole(10, 12, UNANSWERED, evidence=answer(0, 99)))
    assert ledger.entries() == before


def test_attempts_go_on_from_one_unanswered_repair_to_the_next(ledger):
    ledger.record(hole(10, 12))
    for attempt in range(1, MAX_ATTEMPTS + 1):
        assert ledger.begin_repairs(ledger.entries())[0].attempts == attempt
        ledger.record(hole(10, 12, UNANSWERED))
        (entry,) = ledger.entries()
        assert (entry.state, entry.attempts) == (UNANSWERED, attempt)
        is_last = attempt == MAX_ATTEMPTS
        assert (entry.next_attempt_at is None) is is_last


def test_entries_within_a_range_are_those_that_touch_it(ledger):
    ledger.record(hole(10, 12), hole(20, 22, QUIET), hole(30, 32))
    assert shape(ledger.entries(BTC, within=(12 * 60, 20 * 60))) == [
        (10, 12, OPEN),
        (20, 22, QUIET),
    ]
    assert ledger.entries(BTC, within=(13 * 60, 19 * 60)) == []


def test_holes_that_are_asked_for_again_are_counted(ledger):
    ledger.record(*(hole(10 * n, 10 * n, state) for n, state in enumerate(GapState)))
    ledger.record(hole(1, 1, series=ETH))
    assert ledger.unsettled_counts() == {BTC: len(UNSETTLED), ETH: 1}


def test_series_are_kept_apart_and_in_order(ledger):
    ledger.record(hole(1, 2, series=ETH))
    ledger.record(hole(1, 2, series=BTC))
    assert [e.series for e in ledger.entries()] == [BTC, ETH]
    assert [e.series for e in ledger.entries(ETH)] == [ETH]


def test_state_changes_only_where_something_is_noted(ledger):
    ledger.record(hole(10, 12))
    ledger.set_state(BTC, (0, 11 * 60), state=REPAIRED)
    ledger.set_state(ETH, (0, 11 * 60), state=REPAIRED)
    assert shape(ledger.entries()) == [(10, 11, REPAIRED), (12, 12, OPEN)]


def test_state_changes_only_from_the_named_states(ledger):
    ledger.record(hole(10, 12))
    ledger.record(hole(20, 22, QUIET))
    ledger.set_state(BTC, (0, 6000), state=REPAIRED, was=[OPEN], reason="by hand")
    assert shape(ledger.entries()) == [(10, 12, REPAIRED), (20, 22, QUIET)]
    assert [e.reason for e in ledger.entries()] == ["by hand", "test"]
    assert shape(ledger.entries(states=[QUIET])) == [(20, 22, QUIET)]


def test_due_hole_is_repaired_by_one_only(ledger):
    ledger.record(hole(10, 12))
    ledger.record(hole(20, 22, QUIET))
    due = ledger.due(limit=10)
    assert shape(due) == [(10, 12, OPEN)]
    assert [shape(ledger.begin_repairs(due)) for _ in range(2)] == [[(10, 12, REPAIRING)], []]
    assert shape(ledger.entries(states=[REPAIRING])) == [(10, 12, REPAIRING)]
    assert ledger.entries(states=[REPAIRING])[0].attempts == 1
    assert ledger.due(limit=10) == []


def test_failed_repair_waits_before_the_next(ledger):
    ledger.record(hole(10, 12))
    ledger.begin_repairs(ledger.due(limit=1))
    ledger.set_state(BTC, (600, 720), state=OPEN, was=[REPAIRING])
    assert shape(ledger.entries()) == [(10, 12, OPEN)]
    assert ledger.due(limit=10) == []


def test_pauses_grow_and_end_with_the_last_attempt():
    assert [pause_after(OPEN, n) for n in range(7)] == [0, 30, 60, 120, 240, HOUR, 2 * HOUR]
    asked_again = [pause_after(UNANSWERED, n) for n in range(MAX_ATTEMPTS)]
    assert asked_again[:6] == [HOUR, 2 * HOUR, 4 * HOUR, 8 * HOUR, 16 * HOUR, 24 * HOUR]
    assert max(asked_again) == 24 * HOUR
    assert [pause_after(state, MAX_ATTEMPTS) for state in (OPEN, UNANSWERED, DROPPED)] == [None] * 3
    assert [pause_after(state, 0) for state in (QUIET, UNSERVED, REPAIRED)] == [None] * 3


def test_hole_is_due_at_its_next_attempt():
    planned = hole(1, 2, UNANSWERED).at(1000.0)
    assert is_due(planned, 1000.0 + HOUR) and not is_due(planned, 999.0 + HOUR)
    assert not is_due(hole(1, 2, QUIET).at(0.0), 1e12)


def test_repair_that_died_is_due_again(transactional_db):
    ledger = PostgresGapLedger()
    Series.objects.create(name=str(BTC))
    ledger.record(hole(10, 12, REPAIRING))
    assert ledger.due(limit=1) == []
    past = datetime(2020, 1, 1, tzinfo=UTC)
    # The release before plans no next attempt of a repair that runs.
    GapRecord.objects.update(next_attempt_at=past)
    assert ledger.due(limit=1) == []
    GapRecord.objects.update(updated_at=past)
    due = ledger.due(limit=1)
    assert is_due(due[0], due[0].updated_at + REPAIR_TIMEOUT_S)
    assert ledger.begin_repairs(due)


def test_rows_of_the_release_before_are_read_and_due(transactional_db):
    ledger = PostgresGapLedger()
    key = Series.objects.create(name=str(BTC))
    columns = "series_id, from_time, to_time, reason, state, attempts, detected_at, updated_at"
    with connection.cursor() as cursor:
        for minute, state in ((10, "open"), (20, "absent"), (30, "filled"), (40, "repairing")):
            values = (key.pk, minute * 60, minute * 60, "not on the exchange", state, 0)
            cursor.execute(
                f"INSERT INTO gaps ({columns}) VALUES (%s, %s, %s, %s, %s, %s, now(), now())",
                values,
            )
    # What it called absent has no evidence.
    assert shape(ledger.entries()) == [
        (10, 10, OPEN),
        (20, 20, UNANSWERED),
        (30, 30, REPAIRED),
        (40, 40, REPAIRING),
    ]
    assert shape(ledger.due(limit=10)) == [(10, 10, OPEN), (20, 20, UNANSWERED)]
    assert shape(ledger.begin_repairs(ledger.due(limit=10))) == [
        (10, 10, REPAIRING),
        (20, 20, REPAIRING),
    ]


def test_release_before_finds_states_that_it_knows(transactional_db):
    ledger = PostgresGapLedger()
    Series.objects.create(name=str(BTC))
    ledger.record(*(hole(10 * n, 10 * n, state) for n, state in enumerate(GapState)))
    assert list(GapRecord.objects.order_by("from_time").values_list("state", flat=True)) == [
        *("open", "repairing", "filled", "absent", "absent", "open", "open"),
    ]
    # It begins repairs, and ends them, without a word in the other column.
    GapRecord.objects.update(state="open")
    assert {entry.state for entry in ledger.entries()} == {OPEN, UNANSWERED, DROPPED}
    GapRecord.objects.update(state="absent")
    assert {entry.state for entry in ledger.entries()} == {QUIET, UNSERVED, UNANSWERED}


@pytest.mark.parametrize(
    ("indexes", "read"),
    [
        ("gaps_due gaps_unsettled", lambda known: known.due(limit=10)),
        ("gaps_unsettled", lambda known: known.unsettled_counts()),
        ("gaps_ends", lambda known: known.entries(BTC, within=(HOUR, 2 * HOUR))),
    ],
)
def test_frequent_reads_pass_by_what_is_settled(transactional_db, indexes, read):
    with CaptureQueriesContext(connection) as queries:
        read(PostgresGapLedger())
    with connection.cursor() as cursor:
        # As for very many rows.
        cursor.execute("SET enable_seqscan = off")
        cursor.execute("EXPLAIN " + queries[-1]["sql"])
        plan = "\n".join(line for (line,) in cursor.fetchall())
        cursor.execute("RESET enable_seqscan")
    assert any(index in plan for index in indexes.split()), plan


def test_only_the_newest_holes_of_each_kind_are_kept(ledger, monkeypatch):
    monkeypatch.setattr(gap_ledger, "KEPT", 2)
    monkeypatch.setattr(gap_ledger, "TRIMMED_AFTER", 0)
    for minute in (0, 2, 4):
        ledger.record(hole(minute, minute))
        ledger.record(hole(minute + 10, minute + 10, QUIET))
    assert shape(ledger.entries()) == [(2, 2, OPEN), (4, 4, OPEN), (12, 12, QUIET), (14, 14, QUIET)]


minutes = st.integers(0, 30)
ranges = st.tuples(minutes, minutes).map(sorted)
actions = st.lists(st.tuples(ranges, st.sampled_from(GapState), st.booleans()), max_size=12)


@given(actions)
def test_entries_stay_disjoint_and_forget_no_noticed_time(steps):
    entries, seen = [], set()
    for (start, end), state, is_news in steps:
        if is_news:
            entries = noticed(entries, hole(start, end, state).at(1.0))
            seen |= set(range(start, end + 1))
        else:
            entries = changed(entries, (start * 60, end * 60), state=state, now=1.0)
        covered = [n for s, e, _ in shape(entries) for n in range(s, e + 1)]
        assert covered == sorted(seen)


@given(actions)
def test_what_was_shown_to_be_quiet_stays_so_without_newer_rows(steps):
    entries, quiet = [], set()
    for (start, end), state, _ in steps:
        entries = noticed(entries, hole(start, end, state).at(1.0))
        times = set(range(start, end + 1))
        if state is QUIET:
            quiet |= times
        elif state in (REPAIRED, REPAIRING, DROPPED):
            quiet -= times
        assert quiet == {
            n for s, e, kind in shape(entries) if kind is QUIET for n in range(s, e + 1)
        }


def disjoint(pairs):
    found = []
    for start, end in sorted(pairs):
        if not found or start > found[-1][1]:
            found.append((start, end))
    return found


@given(st.lists(ranges).map(disjoint), st.lists(ranges).map(disjoint))
def test_common_parts_and_what_is_left_are_those_of_the_sets(left, right):
    def members(pairs):
        return {n for s, e in pairs for n in range(s, e + 1)}

    shared = list(common(left, right))
    assert members(part for part, _ in shared) == members(left) & members(right)
    assert all(left[index][0] <= part[0] <= part[1] <= left[index][1] for part, index in shared)
    assert members(without_all((0, 30), right, 1)) == members([(0, 30)]) - members(right)
