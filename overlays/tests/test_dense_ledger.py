"""Dense rows: every read gives what it gave before, and rows move beside readers and writers."""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import replace
from io import StringIO
from operator import attrgetter

import psycopg2
import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from factors import runtime
from factors.lazy_json import LazyObject
from factors.stage import FactorStage
from factors.stores.dense import LONGEST_CHAIN, depth_of
from factors.stores.dense_rows import FACTOR_TABLES, count, move, unpack_all
from factors.tests.ledgers import new_series
from market.pipeline import Pipeline
from overlays.api.tests.drawn import walk
from overlays.domain.versions import NEVER
from overlays.reads import Reads
from overlays.stage import OverlayStage
from overlays.stores.changes import Known, PostgresChanges
from overlays.stores.dense_rows import OVERLAY_TABLES
from overlays.tests.ledgers import Worker, postgres_stores
from tests.recordings import recorded_candles

TABLES = (*FACTOR_TABLES, *OVERLAY_TABLES)
COUNT, BATCH, WINDOW = 1500, 307, 300
NUMBER = attrgetter("version_id")
GROWING = ("factor_events", "factor_heads", "overlay_versions")

pytestmark = pytest.mark.django_db(transaction=True)


class Recorded:
    """A recorded series whose new rows are dense, or not."""

    def __init__(self, *, dense):
        self.stores = postgres_stores(dense=dense)
        self.series = new_series("1m")
        self.candles = recorded_candles("DOGE_USDT-1m")[:COUNT]
        stores = self.stores
        specs = runtime.engine().factors
        self.reads = Reads(stores.candles, stores.facts, stores.drawings, specs)
        self.restart()

    def restart(self):
        """Go on with a process that knows nothing yet."""
        stores = self.stores
        factors = FactorStage(ledger=stores.facts, candles=stores.candles)
        drawing = OverlayStage(stores.drawings, facts=stores.facts, candles=stores.candles)
        self.pipeline = Pipeline(stores.candles, [factors, drawing])

    def ingest(self, start, end):
        self.pipeline.ingest(self.series, self.candles[start:end])

    def facts(self):
        """All events and heads."""
        facts, last = self.stores.facts, self.candles[-1].candle_time
        return facts.events(self.series, 0, last), facts.heads(self.series, 0, last)

    def all_reads(self):
        """Every kind of read of the series, as bytes."""
        series, facts = self.series, self.stores.facts
        versions = self.stores.drawings.versions(series)
        times = [each.candle_time for each in self.candles[::97]]
        middle, takebacks = times[len(times) // 2], self.stores.drawings.state(series).takebacks
        known = Known(versions.greatest_id(middle), middle, takebacks)
        changes = PostgresChanges().read({series: known}, window=WINDOW, limit=10**6)[series]
        answers = (
            self.facts(),
            facts.events(series, times[9], times[12]),
            facts.heads(series, times[9], times[12]),
            [facts.view(series, start=at, at_time=at + 9999, limit=50) for at in times],
            versions.after(0, NEVER - 1, limit=10**6),
            # In any order.
            [sorted(versions.newest(at, cutoff=at - 60 * WINDOW), key=NUMBER) for at in times],
            [versions.newest_of("pen.confirmed", time) for time in times],
            [changes.versions, changes.removed],
            [self.reads.frame_at(series, time, window=WINDOW).body for time in times],
            self.reads.frame_live(series, window=WINDOW).body,
        )
        return [json.dumps(each, default=shown) for each in answers]


def shown(value):
    """A mapping for JSON; the stored text of one that was not parsed."""
    return value.text if isinstance(value, LazyObject) else dict(value)


def sizes():
    """Bytes of all rows of the tables that grow with candles."""
    with connection.cursor() as cursor:
        found = {}
        for name in GROWING:
            cursor.execute(f"SELECT sum(pg_column_size(stored.*)) FROM {name} AS stored")
            found[name] = int(cursor.fetchone()[0])
    return found


def move_all(*, dense, at_once=100):
    for table in TABLES:
        yield from move(table, connection, dense=dense, at_once=at_once)


@pytest.mark.usefixtures("recorded_factors")
def test_every_read_is_the_same_before_and_after_packing_and_unpacking():
    recorded = Recorded(dense=False)
    for start in range(0, COUNT, BATCH):
        recorded.ingest(start, start + BATCH)
    before, plain = recorded.all_reads(), sizes()
    assert sum(move_all(dense=True)) > COUNT / 3
    assert [count(table, connection, dense=False) for table in TABLES] == [0] * len(TABLES)
    assert recorded.all_reads() == before
    dense = sizes()
    assert sum(dense.values()) <= 0.5 * sum(plain.values()), (plain, dense)
    unpack_all(TABLES, connection)
    assert recorded.all_reads() == before


def test_dense_rows_are_written_in_chains_and_read_as_plain_ones():
    recorded, control = Recorded(dense=True), Recorded(dense=False)
    for each in (recorded, control):
        each.ingest(0, 1000)
        for start in range(1000, 1080):
            each.ingest(start, start + 1)
        each.restart()
        each.ingest(1080, COUNT)
    assert recorded.facts() == control.facts()
    drawn, expected = (
        [each[1:] for each in one.stores.versions(one.series)] for one in (recorded, control)
    )
    assert drawn == expected
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT data FROM factor_events WHERE data IS NOT NULL AND kind = 'sr.snapshot'"
        )
        depths = [depth_of(data) for (data,) in cursor.fetchall()]
    assert max(depths) > 3
    assert all(depth < LONGEST_CHAIN for depth in depths)
    assert count(TABLES[0], connection, dense=True) == len(recorded.facts()[0])


def test_rows_are_packed_while_the_series_is_written_revised_and_rebuilt():
    stores = postgres_stores(dense=True)
    plain = postgres_stores()
    series, candles = new_series("1m"), walk(400)
    Worker(plain).ingest(series, candles[:200])
    worker, new = Worker(stores), iter(candles[200:])
    for number, _ in enumerate(move_all(dense=True, at_once=20)):
        if (candle := next(new, None)) is not None:
            worker.ingest(series, [candle])
        if number % 7 == 3:
            late = candles[100 + number]
            worker.ingest(series, [late._replace(close=late.close, volume=number + 1.0)])
        if number == 11:
            worker.rebuild(series, candles[50].candle_time)
    assert stores.is_exact(series)
    assert [count(table, connection, dense=False) for table in TABLES] == [0] * len(TABLES)
    for number, _ in enumerate(move_all(dense=False, at_once=20)):
        if number == 5:
            Worker(plain).rebuild(series, candles[150].candle_time)
    assert stores.is_exact(series)


def test_locked_row_is_not_waited_for():
    stores = postgres_stores()
    series = new_series("1m")
    Worker(stores).ingest(series, walk(60))
    with closing(psycopg2.connect(**connection.get_connection_params())) as other:
        with other.cursor() as cursor:
            cursor.execute("SELECT 1 FROM overlay_versions ORDER BY version_id LIMIT 1 FOR UPDATE")
            sum(move(OVERLAY_TABLES[0], connection, dense=True))
            assert count(OVERLAY_TABLES[0], connection, dense=False) == 1
        other.rollback()
    sum(move(OVERLAY_TABLES[0], connection, dense=True))
    assert count(OVERLAY_TABLES[0], connection, dense=False) == 0
    assert stores.is_exact(series)


def test_command_packs_and_unpacks_as_the_switch_is_set(settings):
    Worker(postgres_stores()).ingest(new_series("1m"), walk(60))
    with pytest.raises(CommandError, match="ENABLE_DENSE_LEDGER=1"):
        call_command("dense_ledger", stdout=StringIO())
    settings.SWITCHES = replace(settings.SWITCHES, enable_dense_ledger=True)
    rows = sum(count(table, connection, dense=False) for table in TABLES)
    for option, left in ((["--dry-run"], rows), ([], 0)):
        call_command("dense_ledger", "--no-progress", *option, stdout=StringIO())
        assert sum(count(table, connection, dense=False) for table in TABLES) == left
    settings.SWITCHES = replace(settings.SWITCHES, enable_dense_ledger=False)
    out = StringIO()
    call_command("dense_ledger", "--undo", "--no-progress", stdout=out)
    assert sum(count(table, connection, dense=True) for table in TABLES) == 0
    assert "overlay_versions" in out.getvalue()
