"""Starts everything on this machine and stays until Ctrl-C or SIGTERM."""

from __future__ import annotations

import asyncio
import os
from contextlib import closing
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from market.bus_address import parse
from trade_canvas import environment
from trade_canvas.database import connection_settings
from trade_canvas.embedded import owner_pid, take_ownership
from trade_canvas.embedded.server import free_port, is_port_free
from trade_canvas.reach import reach_bus, reach_database
from trade_canvas.up.installation import Installation, UpFailed
from trade_canvas.up.output import Output
from trade_canvas.up.plan import Plan, PlanError, plan


class Command(BaseCommand):
    """PostgreSQL, Valkey, the local exchange, web, worker and beat, as the switches require."""

    help = (
        "Start the whole installation: database, bus, local exchange, web, worker, beat. "
        "Environment: PORT, DATA_DIR, EXCHANGE (sim, binance, any ccxt id), ADMIN_PASSWORD, "
        "DATABASE_URL, REDIS_URL and every TRADE_CANVAS_ switch. Ctrl-C stops all of it."
    )
    requires_system_checks: list[str] = []
    requires_migrations_checks = False

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            work = plan(os.environ, exchange_port=free_port())
            folder, port = work.data_dir, work.port
            if not take_ownership(folder):
                raise CommandError(f"already running on {folder} (process {owner_pid(folder)})")
            if not is_port_free(port):
                raise CommandError(
                    f"port {port} is in use; choose another: make run PORT={port + 1}"
                )
            _reach_given_servers(work)
            environment.save(work.environment)
            with closing(Output(folder / "logs")) as output:
                asyncio.run(Installation(work, output).run())
        except (PlanError, UpFailed) as error:
            raise CommandError(str(error)) from error


def _reach_given_servers(work: Plan) -> None:
    """Connect to the servers that `up` does not start itself; raises as `reach` does."""
    if work.switches.enable_pg_store and not work.with_postgres:
        url = work.environment["DATABASE_URL"]
        reach_database(connection_settings(url, work.switches, role="up"))
    if work.switches.enable_ws_pubsub and not work.with_valkey:
        reach_bus(parse(work.environment["REDIS_URL"])[0].client_url)
