"""A streaming standby of an embedded PostgreSQL server, and its promotion."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from urllib.parse import urlsplit

from lab.database import run_sql
from lab.waiting import wait_until
from market.files import write_whole
from trade_canvas.embedded.account import server_account, server_directory
from trade_canvas.embedded.postgres import Postgres, cluster_of, programs_of, run_program
from trade_canvas.embedded.server import EmbeddedServer, Place, Record, free_port

CAUGHT_UP_S = 20.0
PROMOTED_S = 30


def start_standby(primary: EmbeddedServer, directory: Path, *, through: int) -> EmbeddedServer:
    """Copy a running server and start the copy as an asynchronous standby of it.

    It replicates over the port `through`. Raises ServerFailed.
    """
    account = server_account()
    kind = Postgres()
    place = Place(account, server_directory(account, directory / kind.name))
    address = urlsplit(primary.url)
    source = f"host=127.0.0.1 port={through} user={address.username} password={address.password}"
    backup = str(programs_of(place) / "pg_basebackup")
    copied = ["--pgdata", str(cluster_of(place)), "--checkpoint=fast", "--write-recovery-conf"]
    run_program(place, [backup, "--dbname", source, *copied])
    # The copy has the primary's roles and passwords.
    record = Record(free_port(), str(address.password))
    run = directory / "run"
    run.mkdir()
    write_whole(run / f"{kind.name}.json", json.dumps(asdict(record)), mode=0o600)
    return EmbeddedServer(kind, directory).start()


def wait_until_caught_up(primary: EmbeddedServer, standby: EmbeddedServer) -> None:
    """Wait until the standby has everything that the primary has now."""
    ((position,),) = run_sql(primary.url, "SELECT pg_current_wal_lsn()::text")
    reached = "SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn"
    wait_until(
        lambda: run_sql(standby.url, reached, position)[0][0],
        CAUGHT_UP_S,
        "the standby to catch up",
    )


def promote(standby: EmbeddedServer) -> None:
    """Make the standby a primary, on a timeline of its own."""
    ((is_done,),) = run_sql(standby.url, "SELECT pg_promote(true, %s)", PROMOTED_S)
    assert is_done, "the standby was not promoted"
