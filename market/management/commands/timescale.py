"""Shows and changes whether `candles` is a TimescaleDB hypertable."""

from __future__ import annotations

import time
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import DEFAULT_DB_ALIAS, connections

from market.runtime import derived_book, derived_timeframes
from market.stores import postgres_timescale as timescale
from market.stores.candle_checks import ImpossibleCandles, add_constraint
from market.stores.derived_checks import compare
from market.stores.postgres_guard import REMEDIES, unwatched_connections
from market.stores.postgres_timescale import Hypertable, HypertablePlan, ServerStatus

DAY_S = 86_400
NO_DATABASE = "pg_store_off: without TRADE_CANVAS_ENABLE_PG_STORE there is no table"


class Command(BaseCommand):
    """status: show. enable: convert, or apply changed settings. disable: convert back."""

    help = (
        "Show whether candles are in a TimescaleDB hypertable, or convert the table to one or back."
    )
    requires_system_checks: list[str] = []
    requires_migrations_checks = False

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("action", choices=("status", "enable", "disable"))
        parser.add_argument(
            "--check-derived",
            action="store_true",
            help="with status: compare every derived series with the database's own roll-up of its"
            " base (a continuous aggregate where candles is a hypertable)",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if not settings.SWITCHES.enable_pg_store:
            raise CommandError(NO_DATABASE)
        # Operators use this command to examine a server that the guard refuses.
        try:
            with unwatched_connections():
                getattr(self, f"_{options['action']}")()
                if options["check_derived"]:
                    self._check_derived()
        except timescale.TimescaleError as error:
            raise CommandError(str(error).strip()) from error

    def _status(self) -> None:
        now = timescale.status(connections[DEFAULT_DB_ALIAS])
        for line in (*_server_lines(now), *_table_lines(now), *_advice(now)):
            self.stdout.write(line)

    def _check_derived(self) -> None:
        connection = connections[DEFAULT_DB_ALIAS]
        wrong = 0
        for each in compare(
            connection,
            derived_book().known(),
            derived_timeframes(),
            keeps_partial=settings.SWITCHES.enable_derived_partial_candles,
            is_hypertable=timescale.can_aggregate(connection),
        ):
            wrong += not each.is_equal
            self.stdout.write(
                f"{each.series}: {each.candles:,} candles, {each.missing} missing,"
                f" {each.unexpected} unexpected, {each.differing} different"
            )
        if wrong:
            raise CommandError(f"derived_differ: {wrong} derived series differ from their base")

    def _enable(self) -> None:
        if not settings.SWITCHES.enable_timescale:
            raise CommandError("timescale_off: set TRADE_CANVAS_ENABLE_TIMESCALE=1 first")
        began = time.monotonic()
        timescale.enable(connections[DEFAULT_DB_ALIAS], _plan())
        self.stdout.write(f"candles is a hypertable ({time.monotonic() - began:.1f} s)")
        try:
            # Where an older TimescaleDB could not add it.
            add_constraint(connections[DEFAULT_DB_ALIAS])
        except ImpossibleCandles as error:
            self.stderr.write(str(error))
        self._status()

    def _disable(self) -> None:
        began = time.monotonic()
        if not timescale.disable(connections[DEFAULT_DB_ALIAS]):
            self.stdout.write("candles is a plain table already")
            return
        self.stdout.write(f"candles is a plain table ({time.monotonic() - began:.1f} s)")


def _plan() -> HypertablePlan:
    return HypertablePlan.from_switches(settings.SWITCHES)


def _server_lines(now: ServerStatus) -> list[str]:
    switch = "on" if settings.SWITCHES.enable_timescale else "off"
    return [
        f"switch: {switch}",
        f"server offers: {now.available or 'no TimescaleDB'}",
        f"in this database: {now.installed or 'no'}",
        f"library: {now.state}",
    ]


def _table_lines(now: ServerStatus) -> list[str]:
    table = now.hypertable
    if now.installed and now.state in REMEDIES:
        return ["candles: unknown without the library"]
    if table is None:
        return ["candles: plain table"]
    return [
        f"candles: hypertable, {table.chunks} chunks of {_days(table.chunk_s)},"
        f" {table.compressed_chunks} compressed, {table.size_bytes / 1e6:.1f} MB",
        f"compression: {_policy(table.compress_after_s)}",
        f"retention: {_policy(table.retention_s)}",
    ]


def _advice(now: ServerStatus) -> list[str]:
    """What to do if the database differs from the settings."""
    if now.installed and now.state in REMEDIES:
        return [f"refused: candles would be lost. Remedy: {REMEDIES[now.state]}"]
    table = now.hypertable
    is_on = settings.SWITCHES.enable_timescale
    if table is None:
        return ["to do: manage.py timescale enable"] if is_on and now.can_convert else []
    lines = []
    if table.rows_outside:
        lines.append(
            f"{table.rows_outside} rows were written while the library was not loaded."
            " To bring them back: manage.py timescale disable, then enable"
        )
    if is_on and _plan() != _planned(table):
        lines.append("the settings differ: manage.py timescale enable")
    return lines


def _planned(table: Hypertable) -> HypertablePlan:
    return HypertablePlan(
        chunk_s=table.chunk_s,
        compress_after_s=table.compress_after_s,
        retention_s=table.retention_s,
    )


def _policy(seconds: int) -> str:
    return f"after {_days(seconds)}" if seconds else "off"


def _days(seconds: int) -> str:
    return f"{seconds / DAY_S:g} days"
