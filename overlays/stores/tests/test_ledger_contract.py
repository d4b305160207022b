"""One contract for every overlay ledger, each beside the candle store it shares commits with."""

from __future__ import annotations

from itertools import count

import pytest
from django.db import connections
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from factors.domain.checkpoints import Checkpoint
from factors.domain.ledger import Position, Saved
from market.domain.series import SeriesId
from market.domain.store import Outpaced
from market.stores.memory import MemoryCandleStore
from market.stores.postgres import PostgresCandleStore
from market.tests.builders import MINUTE
from overlays.domain import instruction
from overlays.domain.instruction import POINT, Change, marker, polyline
from overlays.domain.versions import NEVER, SeriesVersions
from overlays.stores.memory import MemoryOverlayLedger
from overlays.stores.postgres import COPY_FROM_ROWS, NEWEST, PostgresOverlayLedger
from tests.examples import examples

OTHER = SeriesId.parse("binance:spot:ETH/USDT:1m")
ODD_TEXT = 'a\\b\t"ü"\n%s %'
START = None


class Written:
    """A candle store and a ledger, and short ways to write into both."""

    def __init__(self, store, ledger):
        self.store, self.ledger = store, ledger

    def append(self, *changes, expected=START, head=None, series=MINUTE, epoch=0):
        after = at(changes[-1].visible_time if head is None else head, epoch)
        with self.store.writing(series) as writer:
            return self.ledger.writing(writer).append(expected, after, [changes])

    def within(self, work, series=MINUTE):
        with self.store.writing(series) as writer:
            return work(self.ledger.writing(writer))

    def versions(self, series=MINUTE):
        return self.ledger.versions(series)

    def all(self, series=MINUTE):
        return list(self.versions(series).after(0, NEVER - 1, limit=10**6))


@pytest.fixture(params=["memory", "postgres", "dense"])
def written(request, transactional_db):
    if request.param == "memory":
        return Written(MemoryCandleStore(), MemoryOverlayLedger())
    dense = request.param == "dense"
    return Written(PostgresCandleStore(), PostgresOverlayLedger(dense=dense))


def at(head, epoch=0):
    return Position(head, epoch, "logic")


def line(name, time, start, end, *, opened=False, value=1.0):
    points = [(start, value), (end, value)]
    drawn = polyline("pen.candidate", points, color=ODD_TEXT, width=1, extend_right=opened)
    return Change(name, "polyline", time, drawn)


def mark(time, price_time=None):
    shape = {"position": "aboveBar", "color": "#fff", "shape": "circle", "text": "", "size": 0.5}
    where = time if price_time is None else price_time
    return Change(f"pivot.minor:{where}", "marker", time, marker("pivot.minor", where, **shape))


def growing(name, time, *, start=0, width=1, end=None):
    """A version of a line that grows."""
    look = instruction.line("mean.line", color="blue", width=width)
    ended = {} if end is None else {"end": end}
    return Change(name, "line", time, {**look, "start": start, **ended})


def point(name, time, value=1.5):
    return Change(name, POINT, time, {"value": value})


def gone(name, time):
    return Change(name, "polyline", time, {})


def without_numbers(versions):
    return [tuple(version[1:]) for version in versions]


def test_empty_ledger_has_nothing(written):
    assert written.ledger.state(MINUTE) is None
    assert written.all() == []
    assert written.versions().greatest_id(NEVER - 1) == 0
    assert written.versions().newest_of("pen.candidate", 60) is None
    assert written.within(lambda ledger: ledger.position()) is None


def test_append_numbers_changes_in_order_and_the_tick_behind_them(written):
    changes = [mark(60), line("a", 60, 60, 60), mark(120)]
    assert written.append(*changes, head=180)
    versions = written.all()
    assert without_numbers(versions) == [tuple(change) for change in changes]
    numbers = [version.version_id for version in versions]
    assert numbers == sorted(numbers)
    state = written.ledger.state(MINUTE)
    assert state.position == at(180) and state.takebacks == 0
    assert state.tick_id > numbers[-1]


def test_append_of_nothing_moves_the_tick(written):
    written.append(mark(60))
    before = written.ledger.state(MINUTE).tick_id
    assert written.append(expected=at(60), head=120)
    state = written.ledger.state(MINUTE)
    assert state.position == at(120) and state.tick_id > before


def test_numbers_grow_over_all_series(written):
    written.append(mark(60))
    written.append(mark(60), series=OTHER)
    assert written.all(OTHER)[0].version_id > written.ledger.state(MINUTE).tick_id


@pytest.mark.parametrize("size", [0, 1, COPY_FROM_ROWS + 1])
@pytest.mark.parametrize("expected", [START, at(120), at(60, 1), Position(60, 0, "other")])
def test_append_to_another_position_writes_nothing(written, size, expected):
    written.append(line("a", 60, 0, 60))
    kept, state = written.all(), written.ledger.state(MINUTE)
    more = [line("a", 180, 0, 180), *(mark(180, n) for n in range(size - 1))][:size]
    assert not written.append(*more, expected=expected, head=180)
    assert (written.all(), written.ledger.state(MINUTE)) == (kept, state)


@pytest.mark.parametrize("size", [0, 1, COPY_FROM_ROWS + 1])
def test_late_append_stands_once_the_transaction_landed(written, size):
    written.append(line("a", 60, 0, 60), line("b", 60, 0, 60))
    more = [line("a", 180, 0, 180), *(mark(180, n) for n in range(size - 1))][:size]
    written.within(lambda ledger: ledger.append_late(at(60), at(180), [more]))
    assert written.ledger.state(MINUTE).position == at(180)
    assert [Change(*version[1:]) for version in written.all()[2:]] == more
    assert written.ledger.state(MINUTE).tick_id > written.all()[-1].version_id
    shown = written.versions().newest(180, cutoff=0)
    assert [each.visible_time for each in shown if each.instruction_id == "a"] == [
        180 if size else 60
    ]


@pytest.mark.parametrize("size", [0, 1, COPY_FROM_ROWS + 1])
@pytest.mark.parametrize("expected", [START, at(120), at(60, 1), Position(60, 0, "other")])
def test_late_append_to_another_position_fails_whole(written, size, expected):
    written.append(line("a", 60, 0, 60))
    kept, state = written.all(), written.ledger.state(MINUTE)
    more = [line("a", 180, 0, 180), *(mark(180, n) for n in range(size - 1))][:size]
    with pytest.raises(Outpaced):
        written.within(lambda ledger: ledger.append_late(expected, at(180), [more]))
    assert (written.all(), written.ledger.state(MINUTE)) == (kept, state)


@pytest.mark.parametrize("size", [1, COPY_FROM_ROWS + 1])
def test_first_append_must_be_expected_as_such(written, size):
    assert not written.append(*map(mark, range(size)), expected=at(0))
    assert written.ledger.state(MINUTE) is None and written.all() == []


def test_failed_transaction_leaves_nothing(written):
    written.append(line("a", 60, 0, 60))
    kept, state = written.all(), written.ledger.state(MINUTE)

    def work(ledger):
        ledger.truncate(60)
        ledger.append(at(60), at(120), [[line("a", 120, 0, 120)]])
        ledger.checkpoints.save([Checkpoint(120, 2, b"x")], keep=[])
        raise RuntimeError

    with pytest.raises(RuntimeError):
        written.within(work)
    assert (written.all(), written.ledger.state(MINUTE)) == (kept, state)
    assert written.within(lambda ledger: ledger.checkpoints.counts()) == []


def test_newest_shows_what_meets_the_window(written):
    written.append(
        mark(60),
        line("early", 120, 0, 60),
        line("open", 120, 60, 120, opened=True),
        line("long", 180, 0, 180),
        line("open", 240, 60, 180, opened=True),
        gone("long", 300),
    )
    versions = written.versions()

    def ids(time, cutoff):
        newest = versions.newest(time, cutoff=cutoff)
        return sorted((version.instruction_id, version.visible_time) for version in newest)

    assert ids(60, 0) == [("pivot.minor:60", 60)]
    assert ids(120, 0) == [("early", 120), ("open", 120), ("pivot.minor:60", 60)]
    assert ids(180, 120) == [("long", 180), ("open", 120)]
    assert ids(240, 240) == [("open", 240)]
    assert ids(300, 0) == [("early", 120), ("open", 240), ("pivot.minor:60", 60)]
    assert versions.newest_of("long", 299).definition
    assert versions.newest_of("long", 300).definition == {}


def test_truncation_gives_out_again_what_is_the_newest_again(written):
    written.append(
        line("kept", 60, 0, 60, value=5.0),
        line("changed", 60, 0, 60),
        line("changed", 120, 0, 120),
        line("ended", 120, 0, 120),
        gone("ended", 180),
        gone("back", 180),
        line("changed", 240, 0, 240),
        gone("ended", 240),
        line("back", 240, 0, 240),
        line("new", 240, 0, 240),
    )
    before = written.all()
    written.within(lambda ledger: ledger.truncate(180))
    versions = written.all()
    assert versions[:4] == before[:4]
    assert without_numbers(versions[4:]) == [
        tuple(line("changed", 120, 0, 120)._replace(visible_time=180)),
        tuple(line("ended", 120, 0, 120)._replace(visible_time=180)),
    ]
    assert versions[4].version_id > before[-1].version_id
    state = written.ledger.state(MINUTE)
    assert (state.position, state.takebacks) == (at(240), 1)
    newest = written.versions().newest(180, cutoff=0)
    assert sorted(version.instruction_id for version in newest) == ["changed", "ended", "kept"]


@pytest.mark.parametrize("candles", [3, COPY_FROM_ROWS])
def test_points_are_numbered_among_the_versions_of_their_candles(written, candles):
    changes = [growing("mean", 60, start=60)]
    for time in range(60, 60 * (candles + 1), 60):
        changes += [point("mean", time, time / 7), mark(time)]
    assert written.append(*changes)
    assert without_numbers(written.all()) == [tuple(change) for change in changes]
    versions = written.versions()
    at_120 = [each.visible_time for each in versions.after(0, 120, limit=99)]
    assert at_120 == [60, 60, 60, 120, 120]
    assert [each[3:] for each in versions.points(180, cutoff=120)] == [
        (120, {"value": 120 / 7}),
        (180, {"value": 180 / 7}),
    ]
    assert versions.greatest_id(120) == written.all()[4].version_id
    assert versions.newest_of("mean", 180).kind == "line"


def test_points_alone_move_the_greatest_number(written):
    written.append(growing("mean", 60, start=60), point("mean", 60))
    written.append(point("mean", 120), expected=at(60))
    assert written.versions().greatest_id(120) == written.all()[-1].version_id
    assert written.versions().greatest_id(60) == written.all()[1].version_id


def test_line_that_loses_points_is_given_out_again(written):
    """A client with a newer cursor drops the points that it has from there on."""
    written.append(
        growing("mean", 60, start=60),
        growing("other", 60, start=60),
        *(point(name, time) for time in (60, 120, 180) for name in ("mean", "other")),
        gone("other", 180),
    )
    before = written.all()
    written.within(lambda ledger: ledger.truncate(120))
    assert without_numbers(written.all()) == [
        *without_numbers(before[:4]),
        tuple(growing("mean", 120, start=60)),
        tuple(growing("other", 120, start=60)),
    ]


POINT_BYTES = 200


def test_line_that_moves_each_candle_stores_little_for_it(transactional_db):
    written = Written(PostgresCandleStore(), PostgresOverlayLedger())
    name = "average.line:1700000000"
    written.append(growing(name, 0), head=0)

    def stored():
        with connections["default"].cursor() as cursor:
            cursor.execute(
                "SELECT sum(pg_total_relation_size(name)) FROM"
                " unnest(ARRAY['overlay_points', 'overlay_versions']::regclass[]) AS name"
            )
            return int(cursor.fetchone()[0])

    def move(ledger, times):
        # One statement for each candle, as on the live path.
        for time in times:
            moved = [point(name, time, 60000 + time / 7)]
            ledger.append_late(at(time - 60), at(time), [moved])

    before, candles = stored(), 2000
    for first in range(1, candles, 100):
        times = range(60 * first, 60 * (first + 100), 60)
        written.within(lambda ledger, times=times: move(ledger, times))
    assert (stored() - before) / candles < POINT_BYTES
    head = 60 * candles
    (drawn,) = written.versions().newest(head, cutoff=head)
    assert drawn.definition == growing(name, 0).definition
    assert len(written.versions().points(head, cutoff=60)) == candles


def test_ledger_goes_on_after_a_truncation(written):
    written.append(line("a", 60, 0, 60), line("a", 120, 0, 120))

    def work(ledger):
        ledger.truncate(120)
        return ledger.append(at(120), at(120, 1), [[line("a", 120, 0, 90)]])

    assert written.within(work)
    assert written.ledger.state(MINUTE).position == at(120, 1)
    assert written.versions().newest_of("a", 120).definition["points"][1]["time"] == 90
    assert len(written.versions().newest(120, cutoff=0)) == 1


def test_checkpoints_are_kept_dropped_and_truncated(written):
    made = [Checkpoint(60 * n, n, b"\0state%d" % n) for n in (1, 2, 3, 4)]
    written.append(mark(60))
    written.within(lambda ledger: ledger.checkpoints.save(made[:3], keep=[]))
    written.within(lambda ledger: ledger.checkpoints.save(made[3:], keep=[2, 3]))
    assert written.within(lambda ledger: ledger.checkpoints.counts()) == [2, 3, 4]
    assert written.within(lambda ledger: ledger.checkpoints.newest(181)) == made[2]
    assert written.within(lambda ledger: ledger.checkpoints.newest(120)) is None
    written.within(lambda ledger: ledger.truncate(180))
    assert written.within(lambda ledger: ledger.checkpoints.counts()) == [2]


def test_series_do_not_see_each_other(written):
    written.append(line("open", 60, 0, 60, opened=True), mark(60))
    written.append(line("open", 120, 0, 60, opened=True), series=OTHER)
    written.within(lambda ledger: ledger.truncate(0), series=OTHER)
    assert len(written.versions().newest(10**6, cutoff=0)) == 2
    assert written.all(OTHER) == []


names = st.sampled_from(["a", "b", "c"])
moves = st.lists(
    st.one_of(
        st.tuples(st.just("line"), names, st.integers(0, 9), st.booleans()),
        st.tuples(st.just("gone"), names, st.just(0), st.just(False)),
        st.tuples(st.just("grows"), names, st.integers(0, 9), st.booleans()),
        st.tuples(st.just("point"), names, st.integers(0, 9), st.just(False)),
        st.tuples(st.just("cut"), names, st.integers(0, 9), st.just(False)),
    ),
    max_size=14,
)
numbered = count()


@examples(0.7, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(moves)
def test_every_read_equals_the_one_in_memory(written, made):
    series = SeriesId.parse(f"x:y:N{next(numbered)}:1m")
    oracle, time = SeriesVersions(), 0
    position = START
    for kind, name, number, flag in made:
        if kind == "cut" and position is not None:
            start = max(0, time - 60 * number)
            written.within(lambda ledger, start=start: ledger.truncate(start), series=series)
        elif kind != "cut":
            time += 60
            start = max(0, time - 60 * number)
            change = {
                "line": line(name, time, start, time, opened=flag),
                "grows": growing(name, time, start=start, end=time if flag else None),
                "point": point(name, time, number / 7),
                "gone": gone(name, time),
            }[kind]
            written.append(change, expected=position, series=series)
            position = at(time)
    for version in written.all(series):
        oracle.append(version.version_id, Change(*version[1:]))
    for to_time in range(0, time + 61, 60):
        compare(written.versions(series), oracle, to_time)


def compare(versions, oracle, to_time):
    assert versions.greatest_id(to_time) == oracle.greatest_id(to_time)
    for cutoff in (0, max(0, to_time - 120)):
        newest = oracle.newest(to_time, cutoff=cutoff)
        assert sorted(versions.newest(to_time, cutoff=cutoff)) == sorted(newest)
        assert versions.points(to_time, cutoff=cutoff) == oracle.points(to_time, cutoff=cutoff)
    for name in "abc":
        assert versions.newest_of(name, to_time) == oracle.newest_of(name, to_time)
    for cursor in (0, versions.greatest_id(to_time // 2)):
        part = {"cursor": cursor, "to_time": to_time, "limit": 3}
        assert list(versions.after(**part)) == list(oracle.after(**part))
        assert versions.count_after(**part) == len(oracle.after(**part))


def test_long_history_is_read_by_index(transactional_db):
    written = Written(PostgresCandleStore(), PostgresOverlayLedger())
    written.append(
        *(line(f"n{n % 50}", 60 * n, 60 * n, 60 * n, opened=n % 9 == 0) for n in range(9000))
    )
    with connections["default"].cursor() as cursor:
        cursor.execute("ANALYZE overlay_versions")
        values = {"name": str(MINUTE), "time": 60 * 4500, "cutoff": 60 * 4400}
        cursor.execute(f"EXPLAIN (COSTS OFF) {NEWEST}", values)
        plan = "\n".join(row for (row,) in cursor.fetchall())
    assert "overlay_versions_end" in plan and "overlay_versions_open" in plan, plan
    assert "Seq Scan on overlay_versions" not in plan, plan


def test_saved_states_of_several_series_lead_to_their_heads(written):
    ledger, unknown = written.ledger, SeriesId.parse("binance:spot:SOL/USDT:1m")
    for series in (MINUTE, OTHER):
        written.append(mark(180), series=series)
    saved = [Checkpoint(60, 1, b"a"), Checkpoint(180, 3, b"c"), Checkpoint(240, 4, b"d")]
    written.within(lambda each: each.checkpoints.save(saved, keep=[]))
    assert ledger.saved([OTHER, MINUTE, unknown]) == {
        MINUTE: Saved(at(180), saved[1]),
        OTHER: Saved(at(180), None),
    }
