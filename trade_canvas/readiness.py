"""What this process can do now: read the store, write to the bus, queue a task.

Each is tried at most once a second, however many ask, and is given a few seconds: requests of
strangers must not cost the database anything, and a server that hangs must not hold their threads.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future

import redis
from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, connections
from django.db.migrations.executor import MigrationExecutor

from market import blocking, identity
from market.ingest.lease_store_valkey import connect
from market.singletons import closed_by, once

FRESH_S = 1.0
LIMIT_S = 3.0
KEY = "readyz"
KEY_TTL_S = 10
OK, OFF = "ok", "off"


class MigrationsMissing(Exception):
    """The database lacks migrations of this version."""


class Check:
    """Something the process needs. Any thread may ask; only one at a time tries."""

    def __init__(self, attempt: Callable[[], None]) -> None:
        self._attempt = attempt
        self._lock = threading.Lock()
        self._last: Future[str] | None = None
        self._began = self._ended = 0.0

    def begin(self) -> Future[str]:
        """Return the outcome if it is fresh; otherwise that of the attempt that runs now."""
        with self._lock:
            last, now = self._last, time.monotonic()
            if last is None or (last.done() and now - self._ended > FRESH_S):
                last = self._last = Future()
                self._began = now
                threading.Thread(
                    target=self._run, args=(last,), name="readiness", daemon=True
                ).start()
            return last

    def outcome(self) -> str:
        """Return "ok", or "failed: " and the reason. Blocks for LIMIT_S at most."""
        running = self.begin()
        try:
            return running.result(max(0.0, self._began + LIMIT_S - time.monotonic()))
        except TimeoutError:
            return f"failed: {TimeoutError.__name__}"

    def _run(self, running: Future[str]) -> None:
        try:
            self._attempt()
            found = OK
        except Exception as error:  # Any failure makes this process unready and is reported.
            # Our code or the class, because messages of drivers contain hosts and users.
            found = f"failed: {getattr(error, 'code', type(error).__name__)}"
        self._ended = time.monotonic()
        running.set_result(found)


def outcomes() -> dict[str, str]:
    """Each part as "ok", "off" by its switch, or "failed: " and the reason."""
    running = checks()
    for each in running.values():
        each.begin()
    return {name: running[name].outcome() if name in running else OFF for name in ATTEMPTS}


@once
def checks() -> Mapping[str, Check]:
    """The checks of what the switches ask for."""
    switches = settings.SWITCHES
    wanted = {
        "database": switches.enable_pg_store,
        "migrations": switches.enable_pg_store,
        "bus": switches.enable_ws_pubsub,
        "queue": not switches.ingest_in_process,
    }
    return {name: Check(ATTEMPTS[name]) for name, is_wanted in wanted.items() if is_wanted}


def try_database() -> None:
    """Raise unless the store answers, on one of the threads that requests get."""
    blocking.call(_select_one)


def _select_one() -> None:
    with connections[DEFAULT_DB_ALIAS].cursor() as cursor:
        cursor.execute("SELECT 1")


def try_migrations() -> None:
    """Raise MigrationsMissing unless the tables are those of this version."""
    blocking.call(_find_missing_migrations)


@once
def _find_missing_migrations() -> None:
    # A success is kept: applied migrations stay applied, and reading them is slow.
    executor = MigrationExecutor(connections[DEFAULT_DB_ALIAS])
    if executor.migration_plan(executor.loader.graph.leaf_nodes()):
        raise MigrationsMissing


def try_bus() -> None:
    """Raise unless the bus stores a key and takes a message; a full one only answers PING."""
    key = identity.prefix() + KEY
    with _bus().pipeline(transaction=False) as calls:
        calls.set(key, "1", ex=KEY_TTL_S)
        calls.publish(key, "1")
        calls.execute()


def try_queue() -> None:
    """Raise unless the broker takes an entry at the end of a list, which is what a task is."""
    key = f"{identity.prefix()}{KEY}:queue"
    with _bus().pipeline(transaction=True) as calls:
        calls.lpush(key, "1")
        calls.delete(key)
        calls.execute()


ATTEMPTS: Mapping[str, Callable[[], None]] = {
    "database": try_database,
    "migrations": try_migrations,
    "bus": try_bus,
    "queue": try_queue,
}


@closed_by(redis.Redis.close)
def _bus() -> redis.Redis:
    return connect(settings.REDIS_URL)
