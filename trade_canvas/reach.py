"""Connects to the database and the bus before anything is started that needs them.

An address that is wrong is then an error of the start, not one of every later call. What starts
later, or fails over, is retried by whatever restarts the process.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from typing import Any

from django.conf import settings
from django.db import DEFAULT_DB_ALIAS
from django.db.utils import ConnectionHandler

from market.ingest.lease_store_valkey import connect


def reach_services() -> None:
    """Connect to the database and the bus of this process's settings, if it has them.

    Raises django.db.Error or redis.RedisError within the timeouts of both, nine seconds at most.
    """
    reach_database()
    reach_bus()


def reach_database(entry: Mapping[str, Any] | None = None) -> None:
    """Connect once with an entry of DATABASES, that of the settings if none is given.

    Raises django.db.Error; NotLoaded is one.
    """
    if entry is None:
        if not settings.SWITCHES.enable_pg_store:
            return
        entry = settings.DATABASES[DEFAULT_DB_ALIAS]
    # A connection of its own, so that the process's first one is made when it is needed.
    connection = ConnectionHandler({DEFAULT_DB_ALIAS: dict(entry)})[DEFAULT_DB_ALIAS]
    try:
        connection.ensure_connection()
    finally:
        connection.close()


def reach_bus(url: str = "") -> None:
    """Ping the bus, that of the settings if none is given. Raises redis.RedisError."""
    if url := url or settings.REDIS_URL:
        with closing(connect(url)) as client:
            client.ping()
