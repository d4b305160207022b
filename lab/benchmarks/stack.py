"""The installation of the benchmarks: PostgreSQL, Valkey, and servers that come and go."""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import django

from lab.installation import Installation, passable_folder
from lab.program import Program
from trade_canvas.embedded.server import free_port, is_port_free
from trade_canvas.switches import PREFIX
from trade_canvas.up.plan import HOST

TOKEN = secrets.token_hex(8)


@contextmanager
def stack(*, ledgers: bool = False, database_url: str = "") -> Iterator[Installation]:
    """A migrated installation, on which this process is set up too.

    Without `ledgers` it is the candle path by itself; what factors and overlays add is measured
    separately. With `database_url` it is on that empty database, with candles in a hypertable if
    its server has TimescaleDB.
    """
    switches = {
        "DJANGO_SETTINGS_MODULE": "trade_canvas.settings",
        "LOG_LEVEL": "WARNING",
        f"{PREFIX}ENABLE_PG_STORE": "1",
        f"{PREFIX}ENABLE_WS_PUBSUB": "1",
        f"{PREFIX}ENABLE_WS_PUSH": "1",
        f"{PREFIX}INGEST_TOKEN": TOKEN,
        f"{PREFIX}ENABLE_FACTOR_INGEST": str(int(ledgers)),
        f"{PREFIX}ENABLE_OVERLAY_INGEST": str(int(ledgers)),
        f"{PREFIX}ENABLE_DENSE_LEDGER": os.environ.get(f"{PREFIX}ENABLE_DENSE_LEDGER", "0"),
        f"{PREFIX}ENABLE_TIMESCALE": str(int(bool(database_url))),
    }
    with (
        passable_folder() as folder,
        Installation(folder, switches, database_url=database_url) as installation,
    ):
        os.environ.update(
            switches,
            DATABASE_URL=installation.database_url,
            REDIS_URL=installation.valkey.url,
            DATA_DIR=str(folder),
        )
        installation.manage("migrate", "-v0")
        django.setup()
        yield installation


@contextmanager
def web(installation: Installation, **switches: str) -> Iterator[Program]:
    """A web process for as long as the context lasts."""
    # No switch is named like an argument.
    with ending(installation.web(**switches)) as running:  # type: ignore[arg-type]
        yield running


@contextmanager
def bare(installation: Installation, kind: str, *arguments: str) -> Iterator[Program]:
    """A bare server of lab.benchmarks.bare_servers for as long as the context lasts."""
    port = free_port()
    program = installation.start(
        kind,
        (sys.executable, "-m", "lab.benchmarks.bare_servers", kind, str(port), *arguments),
        url=f"http://{HOST}:{port}",
        is_ready=lambda _: not is_port_free(port),
    )
    with ending(program.wait_ready()) as running:
        yield running


@contextmanager
def ending(program: Program) -> Iterator[Program]:
    """End the program with the context."""
    try:
        yield program
    finally:
        program.terminate()
