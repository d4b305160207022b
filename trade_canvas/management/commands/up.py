"""Starts everything on this machine and stays until Ctrl-C or SIGTERM."""

from __future__ import annotations

import asyncio
import os
from contextlib import closing
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from trade_canvas import environment
from trade_canvas.embedded import ServerFailed
from trade_canvas.embedded.server import free_port
from trade_canvas.switches import SwitchError
from trade_canvas.up.installation import Installation, UpFailed, check_port, only_one
from trade_canvas.up.output import Output
from trade_canvas.up.plan import PlanError, plan


class Command(BaseCommand):
    """PostgreSQL, Valkey, the local exchange, web, worker and beat, as the switches say."""

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
            with only_one(work.data_dir):
                check_port(work.port)
                environment.save(work.environment)
                with closing(Output(work.data_dir / "logs")) as output:
                    asyncio.run(Installation(work, output).run())
        except (PlanError, SwitchError, UpFailed, ServerFailed) as error:
            raise CommandError(str(error)) from error
