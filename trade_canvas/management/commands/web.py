"""Serves the application: the page, the API, the admin and /ws/market."""

from __future__ import annotations

import os
from argparse import ArgumentParser
from importlib import import_module
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from market import identity
from overlays.runtime import load_factors
from trade_canvas.asgi import application
from trade_canvas.checks import refuse_unsafe_start
from trade_canvas.edge.serving import Address, serve_with_uvicorn
from trade_canvas.reach import reach_services

SERVERS = ("uvicorn", "daphne")


class Command(BaseCommand):
    """Serves until SIGINT or SIGTERM, then closes watchers with 1001 and exits with status 0."""

    help = "Serve the page, the API, the admin and /ws/market until SIGINT or SIGTERM."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
        parser.add_argument(
            "--port",
            type=int,
            default=int(os.environ.get("PORT") or 8000),
            help="port to listen on (default: PORT, or 8000)",
        )
        parser.add_argument(
            "--server",
            choices=SERVERS,
            default=os.environ.get("ASGI_SERVER") or "uvicorn",
            help="what serves: uvicorn, or daphne for development (default: ASGI_SERVER)",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        refuse_unsafe_start()
        load_factors()
        reach_services()
        identity.check_at_start()
        address = Address(options["host"], options["port"])
        self.stdout.write(f"{options['server']} serves http://{address.host}:{address.port}/")
        self.stdout.flush()
        if options["server"] == "daphne":
            serving = import_module("trade_canvas.edge.serving_daphne")
            served = serving.serve_with_daphne(address, application)
        else:
            served = serve_with_uvicorn(address)
        if not served:
            raise CommandError(f"can't listen on {address.host}:{address.port}")
