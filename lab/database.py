"""Databases of tests and measurements: one is migrated, the others are cloned from it."""

from __future__ import annotations

import itertools
import os
from contextlib import closing
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psycopg2

_numbers = itertools.count(1)


def run_sql(url: str, query: str, *parameters: object) -> list[tuple[Any, ...]]:
    """Run one statement outside any transaction and return its rows."""
    with closing(psycopg2.connect(url, connect_timeout=30)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(query, parameters or None)
            return list(cursor.fetchall()) if cursor.description else []


def with_database(url: str, name: str) -> str:
    """Return the same server's address with another database."""
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))


def server_url(url: str) -> str:
    """Return the server's own database, from which others are created and dropped."""
    return with_database(url, "postgres")


def create_database(url: str, *, prefix: str, template: str = "") -> str:
    """Create a database on the server of `url` and return its address.

    With `template`, the address of a database without connections, it is a copy of that.
    """
    name = f"{prefix}_{os.getpid()}_{next(_numbers)}"
    copied = f" TEMPLATE {urlsplit(template).path.strip('/')}" if template else ""
    drop_database(with_database(url, name))
    run_sql(server_url(url), f"CREATE DATABASE {name}{copied}")
    return with_database(url, name)


def close_database(url: str) -> None:
    """Refuse connections from now on and end those that are open.

    PostgreSQL clones no database that is in use, and TimescaleDB has workers in every one.
    """
    name = urlsplit(url).path.strip("/")
    run_sql(server_url(url), f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
    ends = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s"
    run_sql(server_url(url), ends, name)


def drop_database(url: str) -> None:
    """Drop the database of this address, connected clients included."""
    name = urlsplit(url).path.strip("/")
    run_sql(server_url(url), f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
