"""The overlay stage: the same ledger in whatever batches the candles come, with little work."""

from __future__ import annotations

import pytest

from factors.domain.checkpoints import Checkpoint, is_kept
from factors.domain.ledger import Position
from factors.tests.ledgers import new_series
from market.pipeline import PipelineError
from market.stores.postgres_writer import PostgresWriter
from overlays.api.tests.drawn import walk
from overlays.domain.renderer import OverlayEngine
from overlays.domain.tests.installed import overlay_engine
from overlays.tests.ledgers import Worker, postgres_stores

CANDLES = walk(120)
OTHER_WINDOW = overlay_engine(5)


def revised(candle, by=4.0):
    return candle._replace(high=candle.high + by)


def catch_up(worker, stores, series):
    parts = 0
    while stores.drawings.state(series).position.head_time < stores.candles.state(series).head:
        worker.redraw(series)
        parts += 1
    return parts


def test_batch_seen_twice_changes_nothing(stores):
    series, worker = new_series(), Worker(stores)
    worker.ingest(series, CANDLES)
    before = stores.written(series)
    worker.ingest(series, CANDLES[30:])
    assert stores.written(series) == before


def test_missed_drawings_are_caught_up_in_parts(stores):
    series, worker = new_series(), Worker(stores, at_once=25)
    worker.without_overlays.ingest(series, CANDLES[:90])
    worker.ingest(series, CANDLES[90:91])
    assert stores.drawings.state(series).position.head_time == 60 * 25
    assert catch_up(worker, stores, series) == 3
    assert stores.is_exact(series)


def test_missed_revision_is_redrawn(stores):
    series, worker = new_series(), Worker(stores, every=8)
    worker.ingest(series, CANDLES[:90])
    before = stores.versions(series)
    worker.without_overlays.ingest(series, [revised(CANDLES[50])])
    worker.ingest(series, CANDLES[90:])
    assert stores.is_exact(series)
    kept = [version for version in before if version.visible_time < CANDLES[50].candle_time]
    assert stores.versions(series)[: len(kept)] == kept


def test_other_renderers_redraw_everything(stores):
    series = new_series()
    Worker(stores).ingest(series, CANDLES[:90])
    greatest = stores.drawings.state(series).tick_id
    other = Worker(stores, overlays=OTHER_WINDOW, fingerprint="other", at_once=50)
    other.ingest(series, CANDLES[90:91])
    assert stores.drawings.state(series).position == Position(60 * 50, 0, "other")
    catch_up(other, stores, series)
    assert stores.is_exact(series, overlays=OTHER_WINDOW, fingerprint="other")
    assert stores.versions(series)[0].version_id > greatest


def test_old_process_continues_after_a_new_one(stores):
    """The process whose ledger was redrawn notices, and redraws it with its own renderers."""
    series, old = new_series(), Worker(stores)
    old.ingest(series, CANDLES[:90])
    Worker(stores, overlays=OTHER_WINDOW, fingerprint="other").redraw(series)
    old.ingest(series, CANDLES[90:])
    assert stores.is_exact(series)


def test_unreadable_saved_states_are_ignored(stores):
    series = new_series()
    Worker(stores, every=8).ingest(series, CANDLES[:100])
    with stores.candles.writing(series) as writer:
        ledger = stores.drawings.writing(writer)
        newest = max(ledger.checkpoints.counts())
        broken = [Checkpoint(60 * newest, newest, b"no state")]
        ledger.checkpoints.save(broken, keep=[])
    Worker(stores).ingest(series, CANDLES[100:])
    assert stores.is_exact(series)


def test_checkpoints_are_kept_as_sparsely_as_meant(stores):
    series, worker = new_series(), Worker(stores, every=2)
    worker.ingest(series, CANDLES[:70])
    for candle in CANDLES[70:]:
        worker.ingest(series, [candle])
    with stores.candles.writing(series) as writer:
        counts = stores.drawings.writing(writer).checkpoints.counts()
    kept = [count for count in range(1, 121) if is_kept(count, 120, every=2)]
    assert counts == kept and len(kept) < 30


def test_revision_is_drawn_from_a_checkpoint_nearby(stores, monkeypatch):
    series = new_series()
    Worker(stores, every=4).ingest(series, CANDLES)
    steps, step = [], OverlayEngine.step

    def counted(self, state, new):
        steps.append(new.time)
        return step(self, state, new)

    monkeypatch.setattr(OverlayEngine, "step", counted)
    at = CANDLES[110].candle_time
    Worker(stores, every=4).ingest(series, [revised(CANDLES[110])])
    monkeypatch.undo()
    assert at - 4 * 60 < min(steps) <= at and len(steps) == len(set(steps))
    assert stores.is_exact(series)


def test_failed_batch_leaves_the_next_one_right(stores):
    series, worker = new_series(), Worker(stores)
    worker.ingest(series, CANDLES[:60])
    worker.failing.fails = True
    for candle in CANDLES[60:63]:
        with pytest.raises(PipelineError):
            worker.ingest(series, [candle])
    worker.failing.fails = False
    worker.ingest(series, CANDLES[60:])
    assert stores.is_exact(series)


def test_redraw_from_a_time_keeps_what_was_before(stores):
    series, worker = new_series(), Worker(stores)
    worker.ingest(series, CANDLES)
    before = stores.versions(series)
    worker.redraw(series, 60 * 60)
    after = stores.versions(series)
    kept = [version for version in before if version.visible_time < 60 * 60]
    assert after[: len(kept)] == kept
    assert after[len(kept)].version_id > before[-1].version_id
    assert stores.is_exact(series)


class CountingCursor:
    """A cursor that records what it executes."""

    def __init__(self, cursor):
        self._cursor, self.executed = cursor, []

    def execute(self, *given):
        self.executed.append(given)
        return self._cursor.execute(*given)

    def __getattr__(self, name):
        return getattr(self._cursor, name)


def test_candle_costs_no_round_trip_beyond_its_own(transactional_db, monkeypatch):
    stores = postgres_stores()
    series, worker = new_series(), Worker(stores)
    worker.ingest(series, CANDLES[:60])
    cursors, begin = [], PostgresWriter.__init__

    def counted(writer, series, row, cursor, **fence):
        cursors.append(CountingCursor(cursor))
        begin(writer, series, row, cursors[-1], **fence)

    monkeypatch.setattr(PostgresWriter, "__init__", counted)
    for candle in CANDLES[60:]:
        worker.ingest(series, [candle])
    assert [len(cursor.executed) for cursor in cursors] == [1] * 60
