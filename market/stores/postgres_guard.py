"""Refuses a TimescaleDB server that would accept candles and lose them.

Where the extension is installed but its library is not loaded, rows written to a hypertable go to
its empty parent table, and no reader finds them once the library is back. So every new connection
is checked, and a program fails at its start with a message that names the remedy.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from django.db import OperationalError
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created

REFUSAL = "timescaledb_not_loaded"
WATCH = "market.stores.postgres_guard"

EXTENSION = """
SELECT (SELECT extversion FROM pg_extension WHERE extname = 'timescaledb'),
       current_setting('timescaledb.disable_load', true),
       current_setting('timescaledb.restoring', true)
"""

REMEDIES = {
    "not preloaded": (
        "add timescaledb to shared_preload_libraries in postgresql.conf and restart PostgreSQL"
    ),
    "disabled": "unset timescaledb.disable_load for this database and role, and connect again",
    "restoring": "end the restore with SELECT timescaledb_post_restore(), and connect again",
}


class NotLoaded(OperationalError):
    """The extension is installed and its library is not loaded; the message names the remedy."""

    code = REFUSAL

    def __init__(self, state: str) -> None:
        super().__init__(
            f"{self.code}: the database has the TimescaleDB extension, but its library is {state}"
            f" there, and candles written now would be lost. Remedy: {REMEDIES[state]}."
        )


class Extension(NamedTuple):
    """TimescaleDB as one connection sees it."""

    installed: str | None
    """Its version in this database, None without it."""
    state: str
    """`loaded`, or a key of REMEDIES."""

    @property
    def is_loaded(self) -> bool:
        """Whether the library is loaded in this session."""
        return self.state == "loaded"


def extension_of(cursor: Any) -> Extension:
    """Ask without calling the extension: without its library that ends the connection."""
    cursor.execute(EXTENSION)
    installed, disabled, restoring = cursor.fetchone()
    if disabled is None:
        state = "not preloaded"
    elif disabled == "on":
        state = "disabled"
    else:
        state = "restoring" if restoring == "on" else "loaded"
    return Extension(installed, state)


def refuse_unloaded(*, connection: BaseDatabaseWrapper, **_: object) -> None:
    """Close a new connection that would lose candles; raises NotLoaded."""
    if connection.vendor != "postgresql":
        return
    assert connection.connection is not None
    with connection.wrap_database_errors, connection.connection.cursor() as cursor:
        extension = extension_of(cursor)
    if extension.installed and not extension.is_loaded:
        connection.close()
        raise NotLoaded(extension.state)


def watch_connections() -> None:
    """Check every connection that Django makes in this process."""
    connection_created.connect(refuse_unloaded, dispatch_uid=WATCH)


@contextmanager
def unwatched_connections() -> Iterator[None]:
    """Allow connections to an unsafe server, to inspect it."""
    connection_created.disconnect(dispatch_uid=WATCH)
    try:
        yield
    finally:
        watch_connections()
