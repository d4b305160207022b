"""PostgreSQL and Valkey from wheels, run under DATA_DIR when no address is given.

`database_url` and `redis_url` join the server that runs on DATA_DIR, or start one. A server lives
as long as some process uses it: each user holds a shared file lock, which the system releases
however the process ends, and the guard beside the server stops it when nobody holds one.
"""

from __future__ import annotations

import atexit
import os
import secrets
from collections.abc import Callable
from pathlib import Path

from trade_canvas.embedded.postgres import start_postgres
from trade_canvas.embedded.server import EmbeddedServer, ServerFailed
from trade_canvas.embedded.valkey import start_valkey

__all__ = [
    "EmbeddedServer",
    "ServerFailed",
    "database_url",
    "redis_url",
    "secret_key",
    "start_postgres",
    "start_valkey",
]

# The servers this process uses: kept, because a server is up while it has a user.
_joined: dict[tuple[str, Path], EmbeddedServer] = {}


def database_url(data_dir: Path) -> str:
    """Return the address of the PostgreSQL server on `data_dir`, starting it when it is down."""
    return _join("postgres", data_dir, start_postgres)


def redis_url(data_dir: Path) -> str:
    """Return the address of the Valkey server on `data_dir`, starting it when it is down."""
    return _join("valkey", data_dir, start_valkey)


def secret_key(data_dir: Path) -> str:
    """Return this installation's secret, made at random on first use and kept in a 0600 file."""
    path = data_dir / "secret_key"
    if not path.exists():
        data_dir.mkdir(parents=True, exist_ok=True)
        _write_once(path, secrets.token_urlsafe(48))
    return path.read_text()


def _join(name: str, data_dir: Path, start: Callable[[Path], EmbeddedServer]) -> str:
    server = _joined.get((name, data_dir))
    if server is None:
        server = _joined[name, data_dir] = start(data_dir)
        atexit.register(server.leave)
    return server.url


def _write_once(path: Path, text: str) -> None:
    """Create `path` whole or not at all; the first of several processes wins."""
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    try:
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink()
