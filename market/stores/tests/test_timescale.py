"""Candles in a hypertable: only where the tests' server has TimescaleDB (TEST_DATABASE_URL)."""

from __future__ import annotations

import io
import math
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

import pytest
from django.core.management import call_command
from django.db import IntegrityError, connection, connections

from market.domain.store import StoreUnavailable, Upserted
from market.stores import postgres_guard
from market.stores import postgres_timescale as timescale
from market.stores.candle_checks import ConstraintState, constraint_state
from market.stores.postgres import PostgresCandleStore
from market.stores.tests.hypertables import DAY, PLAN, hypertable, needs_timescale, restored, sql
from market.stores.tests.planting import plant
from market.stores.tests.test_store_contract import put
from market.tests.builders import MINUTE, candle, candles

NOW = 1_700_000_040

pytestmark = [needs_timescale, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def store():
    """The store on the session's hypertable, which each test leaves as it was."""
    with restored():
        yield PostgresCandleStore()


def minutes(count, *, step=60, start=NOW):
    return candles(*range(start, start + count * step, step))


def test_reads_continue_beyond_the_first_span(store):
    far = candles(60, 120, 400 * DAY, 400 * DAY + 60, 1000 * DAY, NOW)
    put(store, far)
    times = [row.candle_time for row in far]
    for limit in range(1, 8):
        assert store.newest(MINUTE, limit) == far[-limit:]
        assert store.newest(MINUTE, limit, up_to=1000 * DAY) == far[:5][-limit:]
        assert store.read_after(MINUTE, 0, limit) == far[:limit]
        assert store.read_after(MINUTE, 120, limit) == far[2 : 2 + limit]
    assert [store.floor(MINUTE, time) for time in (59, *times, NOW + DAY)] == [None, *times, NOW]
    assert store.first(MINUTE) == 60


def test_migration_has_made_a_hypertable(store):
    put(store, minutes(2, step=7 * DAY))
    table = hypertable()
    assert (table.chunk_s, table.chunks, table.rows_outside) == (7 * DAY, 2, 0)
    assert (table.compress_after_s, table.retention_s) == (0, 0)


def test_conversion_and_back_keep_every_row(store):
    rows = minutes(3000, start=1_700_092_800)
    put(store, rows)
    for _ in range(2):
        assert timescale.disable(connection)
        assert not timescale.disable(connection)
        assert hypertable() is None
        assert store.read_after(MINUTE, 0, 5000) == rows
        assert put(store, rows[-1:]) == Upserted([], [], 1)
        timescale.enable(connection, PLAN)
        timescale.enable(connection, PLAN)
        assert hypertable().chunks == 1
        assert store.read_after(MINUTE, 0, 5000) == rows
        assert put(store, rows[-1:]) == Upserted([], [], 1)


def test_conversion_and_back_keep_the_constraint(store):
    put(store, minutes(10))
    for convert in (timescale.disable, partial(timescale.enable, plan=PLAN)):
        convert(connection)
        assert constraint_state(connection) is ConstraintState.VALID
        with pytest.raises(IntegrityError, match="candles_possible"):
            plant(MINUTE, candle(60, close=math.nan))


def test_conversion_keeps_grants(store):
    sql("GRANT SELECT ON candles TO PUBLIC")
    timescale.disable(connection)
    timescale.enable(connection, PLAN)
    granted = "SELECT relacl::text FROM pg_class WHERE relname = 'candles'"
    assert "=r/" in sql(granted)[0][0].replace("{", "").split(",")[-1]
    sql("REVOKE SELECT ON candles FROM PUBLIC")


def test_migration_works_both_ways_on_a_filled_table(store):
    rows = minutes(100)
    put(store, rows)
    call_command("migrate", "market", "0001", verbosity=0)
    assert hypertable() is None
    assert store.read_after(MINUTE, 0, 500) == rows
    call_command("migrate", verbosity=0)
    assert hypertable().chunks == 1
    assert store.read_after(MINUTE, 0, 500) == rows


def test_migration_leaves_the_table_plain_without_the_switch(store, settings):
    timescale.disable(connection)
    settings.SWITCHES = replace(settings.SWITCHES, enable_timescale=False)
    call_command("migrate", "market", "0001", verbosity=0)
    call_command("migrate", verbosity=0)
    assert hypertable() is None


def test_new_chunk_length_applies_to_later_chunks(store):
    put(store, minutes(1))
    timescale.enable(connection, replace(PLAN, chunk_s=DAY))
    put(store, minutes(2, step=DAY, start=NOW + 10 * DAY))
    assert (hypertable().chunk_s, hypertable().chunks) == (DAY, 3)


def test_policies_follow_the_plan(store):
    wanted = replace(PLAN, compress_after_s=30 * DAY, retention_s=400 * DAY)
    for plan in (wanted, wanted, replace(wanted, compress_after_s=60 * DAY), PLAN, PLAN):
        timescale.enable(connection, plan)
        table = hypertable()
        assert (table.compress_after_s, table.retention_s) == (
            plan.compress_after_s,
            plan.retention_s,
        )


def run_policy(name):
    ((job,),) = sql(
        "SELECT job_id FROM timescaledb_information.jobs"
        " WHERE hypertable_name = 'candles' AND proc_name = %s",
        name,
    )
    sql("CALL run_job(%s)", job)


def test_policies_affect_only_old_chunks(store):
    ((now,),) = sql("SELECT candles_now()")
    ages = (100 * DAY, 40 * DAY, DAY)
    put(store, candles(*(now - age for age in ages)))
    timescale.enable(connection, replace(PLAN, compress_after_s=30 * DAY, retention_s=60 * DAY))
    run_policy("policy_compression")
    assert (hypertable().chunks, hypertable().compressed_chunks) == (3, 2)
    run_policy("policy_retention")
    assert [row.candle_time for row in store.read_after(MINUTE, 0, 5)] == [
        now - 40 * DAY,
        now - DAY,
    ]


@contextmanager
def unloaded(name):
    """The session's database as on a server where the library is not at work."""
    ((database,),) = sql("SELECT current_database()")
    sql(f'ALTER DATABASE "{database}" SET timescaledb.{name} = on')
    connection.close()
    try:
        yield
    finally:
        with postgres_guard.unwatched_connections():
            sql(f'ALTER DATABASE "{database}" RESET timescaledb.{name}')
        connection.close()


@pytest.mark.parametrize("name", ["disable_load", "restoring"])
def test_connection_to_an_unsafe_server_is_refused(store, name):
    put(store, minutes(1))
    with unloaded(name), pytest.raises(StoreUnavailable) as refused:
        put(store, minutes(2))
    assert (refused.value.code, refused.value.is_passing) == ("timescaledb_not_loaded", False)
    assert store.read_after(MINUTE, 0, 5) == minutes(1)


@pytest.mark.parametrize("name", ["disable_load", "restoring"])
def test_trigger_refuses_writers_without_the_check(store, name):
    put(store, minutes(1))
    with unloaded(name), postgres_guard.unwatched_connections():
        with pytest.raises(StoreUnavailable) as refused:
            put(store, minutes(2))
        assert refused.value.code == "timescaledb_not_loaded"
        connection.close()
    assert store.read_after(MINUTE, 0, 5) == minutes(1)


def test_rows_outside_the_hypertable_are_counted_and_recovered(store):
    rows = minutes(3)
    put(store, rows[:1])
    sql("DROP TRIGGER candles_guard ON candles")
    # Before 2.23 TimescaleDB has a trigger of its own, which refuses them.
    sql("DROP TRIGGER IF EXISTS ts_insert_blocker ON candles")
    with unloaded("disable_load"), postgres_guard.unwatched_connections():
        put(store, rows)
        connection.close()
    assert (hypertable().rows_outside, store.count(MINUTE)) == (3, 1)
    assert "3 rows were written while" in run("status")
    timescale.disable(connection)
    timescale.enable(connection, PLAN)
    assert (hypertable().rows_outside, store.read_after(MINUTE, 0, 5)) == (0, rows)


def run(action):
    out = io.StringIO()
    call_command("timescale", action, stdout=out)
    return out.getvalue()


def test_command_converts_both_ways(store):
    put(store, minutes(3))
    assert "candles is a plain table (" in run("disable")
    assert "plain table already" in run("disable")
    assert "to do: manage.py timescale enable" in run("status")
    assert "candles: hypertable, 1 chunks of 7 days, 0 compressed" in run("enable")
    assert store.count(MINUTE) == 3


def test_command_shows_where_settings_differ(store, settings):
    settings.SWITCHES = replace(settings.SWITCHES, timescale_retention_s=DAY)
    assert "the settings differ: manage.py timescale enable" in run("status")
    # A policy drops whole chunks: it never begins nearer than one.
    assert "retention: after 7 days" in run("enable")
    assert "differ" not in run("status")


def test_command_inspects_a_refused_server(store):
    with unloaded("disable_load"):
        shown = run("status")
        connections.close_all()
    assert "library: disabled" in shown
    assert "refused: candles would be lost. Remedy: unset timescaledb.disable_load" in shown
