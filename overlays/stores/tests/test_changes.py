"""One contract for reading changes: a follower of them shows what the window shows."""

from __future__ import annotations

import random

import pytest

from market.domain.store import SeriesWriter
from market.stores.memory import MemoryCandleStore
from market.stores.postgres import PostgresCandleStore, read_rows
from market.tests.builders import MINUTE, candle
from overlays.domain.instruction import POINT
from overlays.stores import changes as module
from overlays.stores.changes import Known, MemoryChanges, PostgresChanges
from overlays.stores.memory import MemoryOverlayLedger
from overlays.stores.postgres import PostgresOverlayLedger
from overlays.stores.tests.test_ledger_contract import OTHER, at, gone, growing, line, mark, point

WINDOW = 20
STEP = 60


class Written:
    """Candles and drawings of one series, written together as the pipeline does."""

    def __init__(self, candles, drawings, reader):
        self.candles, self.drawings, self.reader = candles, drawings, reader
        self.head = None

    def step(self, time, *changes, series=MINUTE):
        """Store a candle and what it drew."""
        with self.candles.writing(series) as writer:
            writer.upsert([candle(time)])
            writer.advance(time, revised_from=None)
            ledger = self.drawings.writing(writer)
            assert ledger.append(ledger.position(), at(time), [changes])
        self.head = time

    def take_back(self, time):
        def work(writer: SeriesWriter):
            ledger = self.drawings.writing(writer)
            ledger.truncate(time)
            ledger.append(ledger.position(), at(self.head), [])

        with self.candles.writing(MINUTE) as writer:
            work(writer)

    def read(self, known, *, limit=1000, series=MINUTE):
        return self.reader.read({series: known}, window=WINDOW, limit=limit)[series]

    def shown(self):
        versions = self.drawings.versions(MINUTE)
        cutoff = max(0, self.head - WINDOW * STEP)
        return {v.instruction_id: v.version_id for v in versions.newest(self.head, cutoff=cutoff)}


@pytest.fixture(params=["memory", "postgres"])
def written(request, transactional_db):
    if request.param == "memory":
        candles, drawings = MemoryCandleStore(), MemoryOverlayLedger()
        return Written(candles, drawings, MemoryChanges(candles, drawings))
    return Written(PostgresCandleStore(), PostgresOverlayLedger(), PostgresChanges())


def known(changes):
    drawn = changes.state.drawn
    return Known(drawn.tick_id, drawn.position.head_time, drawn.takebacks)


class Follower:
    """Shows what changes tell it to, from what the window showed first."""

    def __init__(self, written):
        self.written = written
        self.known = known(written.read(None))
        self.shown = written.shown()

    def follow(self):
        changes = self.written.read(self.known)
        numbers = [version.version_id for version in changes.versions]
        assert numbers == sorted(numbers)
        self.shown |= {
            each.instruction_id: each.version_id for each in changes.versions if each.kind != POINT
        }
        for name in changes.removed:
            self.shown.pop(name, None)
        self.known = known(changes)


def test_unknown_series_has_neither_state_nor_change(written):
    changes = written.read(None)
    assert (changes.state.candles.head, changes.state.drawn) == (None, None)
    assert (changes.versions, changes.removed) == (None, ())


def test_first_read_has_the_state_and_no_change(written):
    written.step(60, mark(60))
    changes = written.read(None)
    assert changes.state.candles.head == changes.state.drawn.position.head_time == 60
    assert changes.versions is None


def test_nothing_new_is_an_empty_change(written):
    written.step(60, mark(60))
    again = written.read(known(written.read(None)))
    assert (list(again.versions), list(again.removed)) == ([], [])


def test_change_after_a_deletion_is_none(written):
    written.step(60, mark(60))
    before = known(written.read(None))
    written.step(120, mark(120))
    written.take_back(120)
    assert written.read(before).versions is None


def test_old_drawing_that_changes_out_of_view_is_not_shown(written):
    written.step(60, line("old", 60, 60, 120))
    for time in range(120, 60 * 40, 60):
        written.step(time)
    follower = Follower(written)
    written.step(60 * 40, line("old", 60 * 40, 60, 180), gone("unseen", 60 * 40))
    follower.follow()
    assert follower.shown == written.shown() == {}


@pytest.mark.parametrize("seed", range(6))
def test_follower_shows_what_the_window_shows(written, seed):
    chance = random.Random(seed)
    written.step(60, mark(60), line("a", 60, 60, 120, opened=True))
    follower = Follower(written)
    names = ["a", "b", "c", "d"]
    for n in range(2, 90):
        time = STEP * n
        changes = []
        for _ in range(chance.choice([0, 0, 1, 1, 2, 3])):
            start = STEP * chance.randint(max(0, n - 30), n)
            kind = chance.random()
            if kind < 0.3:
                changes.append(mark(time, start))
            elif kind < 0.85:
                end = min(time, start + STEP * chance.randint(1, 6))
                opened = chance.random() < 0.3
                changes.append(line(chance.choice(names), time, start, end, opened=opened))
            else:
                changes.append(gone(chance.choice(names), time))
        written.step(time, *changes)
        if chance.random() < 0.7:
            follower.follow()
            assert follower.shown == written.shown()
    follower.follow()
    assert follower.shown == written.shown()


def test_points_are_among_the_versions_and_show_nothing_by_themselves(written):
    written.step(60, growing("mean", 60, start=60), point("mean", 60, 0.1))
    follower = Follower(written)
    written.step(120, point("mean", 120, 1e22), point("unseen", 120, -2 / 3), mark(120))
    changes = written.read(follower.known)
    assert [(each.kind, dict(each.definition).get("value")) for each in changes.versions] == [
        ("point", 1e22),
        ("point", -2 / 3),
        ("marker", None),
    ]
    assert list(changes.removed) == []
    follower.follow()
    assert follower.shown == written.shown()


def test_more_versions_than_the_limit_are_cut(written):
    written.step(60, mark(60))
    before = known(written.read(None))
    written.step(120, *(mark(120, 60 + n) for n in range(10)))
    assert len(written.read(before, limit=5).versions) == 6
    assert len(written.read(before, limit=10).versions) == 10


def test_several_series_are_read_together(written):
    written.step(60, mark(60))
    written.step(60, mark(60), series=OTHER)
    asked = {MINUTE: known(written.read(None)), OTHER: None}
    written.step(120, mark(120))
    found = written.reader.read(asked, window=WINDOW, limit=10)
    assert [len(found[MINUTE].versions), found[OTHER].versions] == [1, None]


def test_change_of_one_candle_reads_few_rows_by_index(transactional_db):
    # Of a long history only what changed may be touched.
    written = Written(PostgresCandleStore(), PostgresOverlayLedger(), PostgresChanges())
    written.step(60)
    history = [
        [mark(STEP * n), line(f"zone.{n}", STEP * n, STEP * n, STEP * n + 60)]
        for n in range(2, 5000)
    ]
    time = STEP * 5000
    with written.candles.writing(MINUTE) as writer:
        writer.upsert([candle(time)])
        writer.advance(time, revised_from=None)
        ledger = written.drawings.writing(writer)
        assert ledger.append(ledger.position(), at(time), history)
    written.head = time
    read_rows("ANALYZE overlay_versions; ANALYZE series; ANALYZE overlay_state; SELECT 1", ())
    before = known(written.read(None))
    written.step(time + STEP, mark(time + STEP))
    values = {
        "names": [str(MINUTE)],
        "ticks": [before.tick_id],
        "heads": [before.head_time],
        "takebacks": [before.takebacks],
        "reaches": [WINDOW * STEP],
        "limit": 10,
    }
    ((plan,),) = read_rows(f"EXPLAIN (ANALYZE, FORMAT JSON) {module.CHANGES}", values)
    assert touched(plan[0]["Plan"]) < 100, plan


def touched(node):
    """The rows that the scans of a plan returned or threw away."""
    found = 0
    if node.get("Relation Name") == "overlay_versions":
        rows = node["Actual Rows"] + node.get("Rows Removed by Filter", 0)
        found += (rows + node.get("Rows Removed by Index Recheck", 0)) * node["Actual Loops"]
    return found + sum(touched(child) for child in node.get("Plans", ()))
