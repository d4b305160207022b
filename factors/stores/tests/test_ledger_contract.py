"""One contract for every factor ledger, each beside the candle store it shares commits with."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
from django.db import connections

from factors.domain.checkpoints import Checkpoint
from factors.domain.ledger import EventCount, EventPage, LedgerView, Position, Saved
from factors.domain.values import Event, Head, StepResult
from factors.stores.memory import MemoryFactorLedger
from factors.stores.postgres import PostgresFactorLedger
from lab.waiting import patience
from market.domain.series import SeriesId
from market.domain.store import Outpaced
from market.stores.memory import MemoryCandleStore
from market.stores.postgres import PostgresCandleStore
from market.stores.postgres_writer import COPY_FROM_ROWS
from market.tests.builders import MINUTE

OTHER = SeriesId.parse("binance:spot:ETH/USDT:1m")
ALL = {"start": 0, "at_time": 10**9, "limit": 10**6}
ODD_TEXT = 'a\\b\t"ü"\n'


class Written:
    """A candle store and a ledger, and short ways to write into both."""

    def __init__(self, store, ledger):
        self.store, self.ledger = store, ledger

    def append(self, *ticks, expected=None, epoch=0, series=MINUTE):
        after = state(ticks[-1].candle_time, epoch)
        with self.store.writing(series) as writer:
            return self.ledger.writing(writer).append(expected, after, ticks)

    def within(self, work, series=MINUTE):
        with self.store.writing(series) as writer:
            return work(self.ledger.writing(writer))


@pytest.fixture(params=["memory", "postgres", "dense"])
def written(request, transactional_db):
    if request.param == "memory":
        return Written(MemoryCandleStore(), MemoryFactorLedger())
    return Written(PostgresCandleStore(), PostgresFactorLedger(dense=request.param == "dense"))


def state(time, epoch=0):
    return Position(time, epoch, "logic")


def event(time, factor="pen", kind="pen.confirmed", **payload):
    return Event(factor, kind, time, f"{kind}:{time}", {"visible_time": time, **payload})


def head(time, factor="pen", **fields):
    return Head(factor, time, fields)


def tick(time, *facts):
    events = [each for each in facts if isinstance(each, Event)]
    return StepResult(time, events, [each for each in facts if isinstance(each, Head)])


def test_empty_ledger_knows_nothing(written):
    ledger = written.ledger
    assert ledger.position(MINUTE) is None
    assert ledger.view(MINUTE, **ALL) == LedgerView(None, [], {})
    assert (ledger.events(MINUTE, 0, 99), ledger.heads(MINUTE, 0, 99)) == ([], [])
    assert ledger.event_counts(MINUTE) == []
    assert written.within(lambda each: each.position()) is None
    assert written.within(lambda each: each.checkpoints.newest(10**9)) is None


def test_appended_entries_are_read_in_order(written):
    first = tick(60, event(60, "pivot", "pivot.major"), event(60), head(60, price=1.5))
    second = tick(120, event(120, "anchor", "anchor.switch"), head(120, "anchor", at=None))
    assert written.append(first, tick(90), second)
    view = written.ledger.view(MINUTE, **ALL)
    assert view.position == written.ledger.position(MINUTE) == state(120)
    assert view.events == [*first.events, *second.events]
    assert view.heads == {"pen": {"price": 1.5}, "anchor": {"at": None}}


def test_quiet_candles_move_the_head_time_alone(written):
    written.append(tick(60))
    assert written.append(tick(120), expected=state(60))
    assert written.ledger.view(MINUTE, **ALL) == LedgerView(state(120), [], {})


@pytest.mark.parametrize("expected", [None, state(60, epoch=1), state(120)])
def test_ledger_that_stands_elsewhere_takes_nothing(written, expected):
    written.append(tick(60, event(60)))
    many = [tick(time, event(time), head(time, at=time)) for time in range(180, 6180, 60)]
    assert not written.append(tick(120, event(120), head(120, at=1)), expected=expected)
    assert not written.append(tick(120), expected=expected)
    assert not written.append(*many, expected=expected)
    assert written.ledger.view(MINUTE, **ALL) == LedgerView(state(60), [event(60)], {})


@pytest.mark.parametrize("count", [1, 2 * COPY_FROM_ROWS])
def test_late_append_stands_once_the_transaction_landed(written, count):
    ticks = [tick(time, event(time)) for time in range(120, 120 + 60 * count, 60)]
    written.append(tick(60, event(60)))
    after = state(ticks[-1].candle_time)
    written.within(lambda ledger: ledger.append_late(state(60), after, ticks))
    assert written.ledger.position(MINUTE) == after
    assert len(written.ledger.events(MINUTE, 0, 10**9)) == 1 + count


@pytest.mark.parametrize("expected", [None, state(60, epoch=1), state(120)])
@pytest.mark.parametrize("count", [0, 1, 2 * COPY_FROM_ROWS])
def test_late_append_to_a_ledger_that_stands_elsewhere_fails_whole(written, expected, count):
    written.append(tick(60, event(60)))
    ticks = [tick(time, event(time)) for time in range(120, 120 + 60 * count, 60)]
    with pytest.raises(Outpaced):
        written.within(lambda ledger: ledger.append_late(expected, state(120), ticks))
    assert written.ledger.view(MINUTE, **ALL) == LedgerView(state(60), [event(60)], {})


def test_bulk_is_written_like_single_candles(written):
    ticks = [
        tick(time, event(time, text=ODD_TEXT, price=0.1 + 0.2), head(time, text=ODD_TEXT))
        for time in range(60, 60 * (COPY_FROM_ROWS + 2), 60)
    ]
    assert written.append(*ticks)
    view = written.ledger.view(MINUTE, **ALL)
    assert view.events == [each.events[0] for each in ticks]
    assert view.heads == {"pen": {"text": ODD_TEXT}}
    assert written.ledger.heads(MINUTE, 0, 10**9) == [each.heads[0] for each in ticks]


def test_json_comes_back_with_its_fields_in_order(written):
    payload = {
        "b": 1.0,
        "a": [1, -0.0, 1e22, 5e-324],
        "c": {"z": None, "y": True},
        "text": ODD_TEXT,
    }
    written.append(tick(60, event(60, **payload), head(60, **payload)))
    view = written.ledger.view(MINUTE, **ALL)
    assert json.dumps(view.events[0].payload, default=dict) == json.dumps(
        {"visible_time": 60, **payload}
    )
    assert json.dumps(view.heads["pen"]) == json.dumps(payload)


def test_head_that_repeats_its_event_comes_back_whole(written):
    repeated = tick(60, event(60, kind="pen.other"), event(60, a=1, b=[2]), head(60, a=1, b=[2]))
    nearly = tick(120, event(120, a=1, b=[2]), head(120, b=[2], a=1))
    written.append(repeated, nearly)
    heads = written.ledger.heads(MINUTE, 0, 10**9)
    assert json.dumps(heads) == json.dumps([*repeated.heads, *nearly.heads])
    assert written.ledger.view(MINUTE, start=0, at_time=60, limit=9).heads == {
        "pen": {"a": 1, "b": [2]}
    }


def test_view_shows_its_window_and_the_newest_heads_before_its_end(written):
    rows = [tick(time, event(time), head(time, at=time)) for time in (60, 120, 180, 240)]
    written.append(tick(30, head(30, "sr", at=30)), *rows)
    view = written.ledger.view(MINUTE, start=120, at_time=239, limit=9)
    assert view == LedgerView(
        state(240), [event(120), event(180)], {"sr": {"at": 30}, "pen": {"at": 180}}
    )
    assert written.ledger.view(MINUTE, start=0, at_time=240, limit=2).events == [
        event(60),
        event(120),
    ]
    assert written.ledger.view(MINUTE, start=0, at_time=29, limit=2).heads == {}


def test_ranges_hold_both_ends(written):
    rows = [
        tick(time, event(time), head(time, at=1), head(time, "anchor", at=2))
        for time in (60, 120, 180)
    ]
    written.append(*rows)
    assert written.ledger.events(MINUTE, 120, 180) == [event(120), event(180)]
    assert written.ledger.heads(MINUTE, 60, 119) == [head(60, "anchor", at=2), head(60, at=1)]


def test_truncated_ledger_goes_on_from_there(written):
    rows = [
        tick(time, event(time), head(time, at=time), head(time, "sr", at=1))
        for time in (60, 120, 180)
    ]
    written.append(*rows)
    again = tick(120, event(120, again=True), head(120, again=True))

    def rewrite(ledger):
        ledger.checkpoints.save([Checkpoint(60, 1, b"a"), Checkpoint(120, 2, b"b")], keep=[])
        ledger.truncate(120)
        assert ledger.checkpoints.newest(10**9) == Checkpoint(60, 1, b"a")
        return ledger.append(ledger.position(), state(120, epoch=1), [again])

    assert written.within(rewrite)
    view = written.ledger.view(MINUTE, **ALL)
    assert view.position == state(120, epoch=1)
    assert view.events == [event(60), event(120, again=True)]
    assert view.heads == {"pen": {"again": True}, "sr": {"at": 1}}


def test_checkpoints_are_found_by_time_and_dropped_by_count(written):
    saved = [Checkpoint(60 * count, count, bytes([count, 0, 92])) for count in (1, 2, 3)]
    written.within(lambda ledger: ledger.checkpoints.save(saved, keep=[]))
    assert written.within(lambda ledger: ledger.checkpoints.newest(180)) == saved[1]
    assert written.within(lambda ledger: ledger.checkpoints.newest(60)) is None
    written.within(lambda ledger: ledger.checkpoints.save([Checkpoint(240, 4, b"")], keep=[2]))
    assert written.within(lambda ledger: ledger.checkpoints.counts()) == [2, 4]
    assert written.within(lambda ledger: ledger.checkpoints.newest(999)) == Checkpoint(240, 4, b"")


def test_writer_sees_its_own_changes(written):
    def write(ledger):
        assert ledger.append(None, state(60), [tick(60)])
        assert ledger.append(state(60), state(120), [tick(120)])
        return ledger.position()

    assert written.within(write) == state(120)


def test_failed_transaction_leaves_nothing(written):
    written.append(tick(60, event(60), head(60, at=1)))
    before = written.ledger.view(MINUTE, **ALL)

    def fail(ledger):
        ledger.truncate(60)
        ledger.append(ledger.position(), state(120), [tick(120, event(120), head(120, at=2))])
        ledger.checkpoints.save([Checkpoint(120, 2, b"")], keep=[])
        raise RuntimeError

    with pytest.raises(RuntimeError):
        written.within(fail)
    assert written.ledger.view(MINUTE, **ALL) == before
    assert written.within(lambda ledger: ledger.checkpoints.counts()) == []


def test_nothing_is_seen_before_the_transaction_lands(written):
    def look():
        try:
            return written.ledger.position(MINUTE)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(1) as elsewhere, written.store.writing(MINUTE) as writer:
        written.ledger.writing(writer).append(None, state(60), [tick(60, event(60))])
        assert elsewhere.submit(look).result(patience(10)) is None
    assert written.ledger.position(MINUTE) == state(60)


def test_series_do_not_touch_each_other(written):
    written.append(tick(60, event(60), head(60, at=1)))
    written.append(tick(60, event(60), head(60, at=2)), series=OTHER)
    written.within(lambda ledger: ledger.truncate(0), series=OTHER)
    assert written.ledger.view(MINUTE, **ALL) == LedgerView(
        state(60), [event(60)], {"pen": {"at": 1}}
    )
    assert written.ledger.view(OTHER, **ALL) == LedgerView(state(60), [], {})


def paged(ledger, *, limit, start=0, end=10**9, kinds=None, series=MINUTE):
    """The events of every page, by page."""
    found = []
    while True:
        page = ledger.event_page(series, start=start, end=end, kinds=kinds, limit=limit)
        assert page.is_unbroken
        found.append(
            [each.event._replace(payload=dict(each.event.payload)) for each in page.events]
        )
        if page.last is None:
            return found
        start = page.last


def two_kinds(times):
    """One candle each, with one event of two kinds, the second of every third candle only."""
    return [
        tick(
            time,
            event(time, text=ODD_TEXT),
            *([event(time, "sr", "sr.snapshot", levels=["x" * 2_000])] if time % 180 == 0 else []),
        )
        for time in times
    ]


@pytest.mark.parametrize("limit", [1, 2, 3, 16, 17, 100])
def test_pages_of_events_are_the_ledger(written, limit):
    written.append(*two_kinds(range(60, 60 * 31, 60)))
    events = written.ledger.events(MINUTE, 0, 10**9)
    pages = paged(written.ledger, limit=limit)
    assert [each for page in pages for each in page] == events
    assert all(len(page) == limit for page in pages[:-1])
    assert 0 < len(pages[-1]) <= limit
    snapshots = paged(written.ledger, limit=limit, kinds=["sr.snapshot"])
    assert [each for page in snapshots for each in page] == [
        each for each in events if each.kind == "sr.snapshot"
    ]
    assert paged(written.ledger, limit=100, start=600, end=720) == [
        written.ledger.events(MINUTE, 600, 720)
    ]
    assert paged(written.ledger, limit=100, series=OTHER) == [[]]


def test_page_of_events_has_position_and_numbers(written):
    empty = EventPage(None, True, [], None)
    assert written.ledger.event_page(MINUTE, start=0, end=9, kinds=None, limit=9) == empty
    written.append(tick(60, event(60), event(60, "pivot", "pivot.major")), tick(120))
    page = written.ledger.event_page(MINUTE, start=0, end=10**9, kinds=None, limit=2)
    assert page.position == state(120)
    first, second = (each.number for each in page.events)
    assert first < second == written.ledger.last_event_id(MINUTE)
    assert page.last is None


def test_place_that_was_truncated_is_broken(written):
    written.append(*(tick(time, event(time)) for time in (60, 120, 180)))
    place = partial(written.ledger.event_page, MINUTE, end=10**9, kinds=None, limit=1)
    first = place(start=0).last
    second = place(start=first).last
    assert (first.candle_time, second.candle_time) == (60, 120)

    def rewrite(ledger):
        ledger.truncate(120)
        again = [tick(time, event(time)) for time in (120, 180)]
        return ledger.append(ledger.position(), state(180), again)

    assert written.within(rewrite)
    # The same events, but not known to be the same.
    assert not place(start=second).is_unbroken
    page = place(start=first)
    assert page.is_unbroken
    assert page.events[0].event.candle_time == 120
    assert page.events[0].number > second.number


def test_page_of_rare_events_skips_a_bounded_part(written, monkeypatch):
    monkeypatch.setattr("factors.stores.memory.MOST_SKIPPED", 10)
    monkeypatch.setattr("factors.stores.event_pages.MOST_SKIPPED", 10)
    written.append(*two_kinds(range(60, 1860, 60)))
    assert paged(written.ledger, limit=3, kinds=["pivot.major"]) == [[], [], [], []]
    found = paged(written.ledger, limit=3, kinds=["sr.snapshot"])
    assert sum(map(len, found)) == 10
    assert len(found) == 4


def test_page_of_large_events_is_bounded_in_bytes(written, monkeypatch):
    for place in ("factors.stores.shared.PAGE_BYTES", "factors.stores.event_pages.PAGE_BYTES"):
        monkeypatch.setattr(place, 5_000)
    written.append(*two_kinds(range(180, 3600, 180)))
    pages = paged(written.ledger, limit=100)
    assert [each for page in pages for each in page] == written.ledger.events(MINUTE, 0, 10**9)
    sizes = [sum(len(json.dumps(each.payload)) for each in page) for page in pages]
    assert len(pages) > 5
    assert max(sizes) < 5_000 + 2_100


def test_events_are_counted_by_kind(written):
    rows = [tick(time, event(time), event(time, "pivot", "pivot.major")) for time in (60, 120)]
    written.append(*rows, tick(180, event(180)))
    counts = [EventCount("pen", "pen.confirmed", 3), EventCount("pivot", "pivot.major", 2)]
    assert written.ledger.event_counts(MINUTE) == counts


def test_number_of_the_last_event_grows_and_never_returns(written):
    ledger = written.ledger
    assert ledger.last_event_id(MINUTE) == 0
    written.append(tick(60))
    assert ledger.last_event_id(MINUTE) == 0
    written.append(tick(120, event(120)), expected=state(60))
    first = ledger.last_event_id(MINUTE)
    written.append(tick(180, event(180)), expected=state(120))
    second = ledger.last_event_id(MINUTE)
    assert 0 < first < second
    written.within(lambda ledger: ledger.truncate(180))
    written.append(tick(180, event(180, changed=True)), expected=state(180))
    assert ledger.last_event_id(MINUTE) > second
    assert ledger.last_event_id(OTHER) == 0


def test_saved_states_of_several_series_lead_to_their_heads(written):
    ledger, unknown = written.ledger, SeriesId.parse("binance:spot:SOL/USDT:1m")
    for series in (MINUTE, OTHER):
        written.append(tick(180), series=series)
    saved = [Checkpoint(60, 1, b"a"), Checkpoint(180, 3, b"c"), Checkpoint(240, 4, b"d")]
    written.within(lambda each: each.checkpoints.save(saved, keep=[]))
    assert ledger.saved([OTHER, MINUTE, unknown]) == {
        MINUTE: Saved(state(180), saved[1]),
        OTHER: Saved(state(180), None),
    }
