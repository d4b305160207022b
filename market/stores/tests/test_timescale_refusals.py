"""Refusals where TimescaleDB is missing or its library is not loaded."""

from __future__ import annotations

import io
import os
from dataclasses import replace

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from market.stores import postgres_guard
from market.stores import postgres_timescale as timescale
from market.stores.postgres_guard import Extension, NotLoaded, extension_of
from market.stores.postgres_timescale import HypertablePlan
from trade_canvas import readiness
from trade_canvas.failures import failure_of

IN_DATABASE = "2.28.3"

without_timescale = pytest.mark.skipif(
    os.environ.get("TRADE_CANVAS_ENABLE_TIMESCALE") == "1",
    reason="the tests' server has TimescaleDB: test_timescale.py is about it",
)


class Answers:
    """A cursor that answers every statement with one row."""

    def __init__(self, row):
        self.row = row

    def execute(self, statement):
        assert statement == postgres_guard.EXTENSION

    def fetchone(self):
        return self.row


@pytest.mark.parametrize(
    ("row", "extension"),
    [
        ((None, None, None), Extension(None, "not preloaded")),
        ((IN_DATABASE, None, None), Extension(IN_DATABASE, "not preloaded")),
        ((IN_DATABASE, "on", None), Extension(IN_DATABASE, "disabled")),
        ((IN_DATABASE, "off", "on"), Extension(IN_DATABASE, "restoring")),
        ((IN_DATABASE, "off", "off"), Extension(IN_DATABASE, "loaded")),
        ((None, "off", None), Extension(None, "loaded")),
    ],
)
def test_extension_is_inspected_without_calling_it(row, extension):
    assert extension_of(Answers(row)) == extension


@pytest.fixture
def refused(transactional_db, monkeypatch):
    """A server as it is after its library was taken out of shared_preload_libraries."""
    connection.close()
    monkeypatch.setattr(
        postgres_guard, "EXTENSION", f"SELECT '{IN_DATABASE}', NULL::text, NULL::text"
    )
    yield
    monkeypatch.undo()
    connection.close()


def test_every_connection_to_such_a_server_is_refused(refused):
    for _ in range(2):
        with pytest.raises(NotLoaded, match="timescaledb_not_loaded: .* shared_preload_libraries"):
            connection.ensure_connection()
        assert connection.connection is None


@pytest.mark.parametrize("command", ["prepare", "web"])
def test_serving_commands_name_the_remedy(refused, command):
    with pytest.raises(NotLoaded) as refusal:
        call_command(command)
    failure = failure_of(refusal.value)
    assert failure.status == 1
    assert failure.line.startswith("timescaledb_not_loaded: ")
    assert "shared_preload_libraries" in failure.line


def test_readyz_shows_the_code_of_the_refusal(refused, client, monkeypatch):
    monkeypatch.setitem(readiness.ATTEMPTS, "migrations", lambda: None)
    monkeypatch.setattr("market.blocking.call", lambda work: work())
    answer = client.get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["checks"]["database"] == "failed: timescaledb_not_loaded"


def test_conversion_names_what_is_missing(transactional_db, monkeypatch):
    now = timescale.ServerStatus(
        available=None, installed=None, state="not preloaded", hypertable=None
    )
    monkeypatch.setattr(timescale, "status", lambda connection: now)
    with pytest.raises(timescale.TimescaleError, match="timescaledb_not_available"):
        timescale.enable(connection, HypertablePlan(chunk_s=1))
    now = replace(now, available=IN_DATABASE)
    with pytest.raises(NotLoaded, match="shared_preload_libraries"):
        timescale.enable(connection, HypertablePlan(chunk_s=1))


def test_policies_start_no_sooner_than_one_chunk(settings):
    switches = replace(settings.SWITCHES, timescale_chunk_s=100_000, timescale_retention_s=5)
    assert HypertablePlan.from_switches(switches) == HypertablePlan(
        chunk_s=100_000, compress_after_s=0, retention_s=100_000
    )


@without_timescale
def test_migration_does_nothing_without_the_extension(transactional_db, settings):
    settings.SWITCHES = replace(settings.SWITCHES, enable_timescale=True)
    call_command("migrate", "market", "0001", verbosity=0)
    call_command("migrate", verbosity=0)
    assert timescale.status(connection).hypertable is None
    assert not timescale.disable(connection)


@without_timescale
def test_command_on_a_server_without_the_extension(transactional_db, settings):
    out = io.StringIO()
    call_command("timescale", "status", stdout=out)
    assert "server offers: no TimescaleDB" in out.getvalue()
    assert "candles: plain table" in out.getvalue()
    with pytest.raises(CommandError, match="timescale_off"):
        call_command("timescale", "enable")
    settings.SWITCHES = replace(settings.SWITCHES, enable_timescale=True)
    with pytest.raises(CommandError, match="timescaledb_not_available"):
        call_command("timescale", "enable")


def test_command_without_a_database(settings):
    settings.SWITCHES = replace(settings.SWITCHES, enable_pg_store=False)
    with pytest.raises(CommandError, match="pg_store_off"):
        call_command("timescale", "status")
