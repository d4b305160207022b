"""PostgreSQL and Valkey from wheels, run under DATA_DIR when no address is given.

One process owns DATA_DIR at a time: `up`, or a command that runs without it. The owner starts the
servers and stops them at its end; every other process uses the addresses in DATA_DIR/run.
"""

from __future__ import annotations

import atexit
import os
import secrets
import sys
from contextlib import suppress
from itertools import takewhile
from pathlib import Path

from market.files import sync
from trade_canvas.embedded.owner import owner_pid, take_ownership
from trade_canvas.embedded.postgres import Postgres, start_postgres
from trade_canvas.embedded.server import EmbeddedServer, ServerFailed
from trade_canvas.embedded.valkey import Valkey, start_valkey

__all__ = [
    "EmbeddedServer",
    "ServerFailed",
    "database_url",
    "owner_pid",
    "redis_url",
    "secret_key",
    "start_postgres",
    "start_valkey",
    "take_ownership",
]


SECRET_LENGTH = 32
"""What is shorter was not made here whole."""


def database_url(data_dir: Path) -> str:
    """Return the address of the PostgreSQL server that runs on `data_dir`.

    The owner starts it, to be stopped with this process; others wait until it has started.
    Raises ServerFailed when it can't be started.
    """
    return _url(EmbeddedServer(Postgres(), data_dir), data_dir)


def redis_url(data_dir: Path) -> str:
    """Return the address of the Valkey server that runs on `data_dir`, as `database_url` does."""
    return _url(EmbeddedServer(Valkey(), data_dir), data_dir)


def secret_key(data_dir: Path) -> str:
    """Return this installation's secret, made at random on first use and kept in a 0600 file."""
    path = data_dir / "secret_key"
    data_dir.mkdir(parents=True, exist_ok=True)
    if path.exists() and len(_printable(path)) < SECRET_LENGTH:
        # A power loss left a part of it. Another one ends all sessions, nothing else.
        path.unlink(missing_ok=True)
        print(f"{path} was damaged: a new secret is made", file=sys.stderr, flush=True)
    if not path.exists():
        _write_once(path, secrets.token_urlsafe(48))
    return _printable(path)


def _url(server: EmbeddedServer, data_dir: Path) -> str:
    if take_ownership(data_dir):
        atexit.register(server.stop)
        server.start()
    else:
        server.wait_for_owner(owner_pid(data_dir))
    return server.url


def _printable(path: Path) -> str:
    """Return the text of a file up to its first byte that is no printable character."""
    text = path.read_text(encoding="utf-8", errors="replace").strip()
    return "".join(takewhile(str.isprintable, text))


def _write_once(path: Path, text: str) -> None:
    """Create `path` whole or not at all; the first of several processes wins."""
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    sync(draft)
    with suppress(FileExistsError):
        os.link(draft, path)
    draft.unlink()
    sync(path.parent)
