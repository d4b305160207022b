"""The installation that this process belongs to, as every name outside the database carries it.

    key = identity.prefix() + "rate:binance"

The id is read from the database once a process, on first use. If the bus remembers another database
under that id, this database is a copy, or the other one was replaced: `WrongInstallation`.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, DatabaseError, connections
from redis import Redis
from redis.exceptions import RedisError

from market.domain.identity import random_id
from market.files import write_whole
from market.singletons import closed_by, once
from market.stores.installation import read_fingerprint, read_identity

log = logging.getLogger(__name__)

APPLICATION = "trade_canvas"
BUS_TIMEOUT_S = 2.0
# After a failure the database is not asked again for so long: many threads may want the id.
RETRY_S = 1.0
# Renewed by every running process; an installation that is gone is forgotten.
REMEMBERED_S = 30 * 86_400


class IdentityUnknown(Exception):
    """The database does not answer, or has no tables yet; the id will be known later."""

    code = "installation_unknown"


class WrongInstallation(Exception):
    """This process must not run with this database and this bus; the message says what to do."""

    code = "wrong_installation"


class Identified:
    """The id once it was read, and what identifies the database that holds it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: tuple[str, str] | None = None
        self._failed_at = float("-inf")
        self._failure = ""

    @property
    def is_known(self) -> bool:
        """Whether the database has answered."""
        return self._known is not None

    def get(self) -> tuple[str, str]:
        """Return the id and the fingerprint of the database, reading them on the first call."""
        if self._known is None:
            with self._lock:
                if self._known is None:
                    self._known = self._read()
        return self._known

    def _read(self) -> tuple[str, str]:
        if not settings.SWITCHES.enable_pg_store:
            return random_id(), ""
        if time.monotonic() - self._failed_at < RETRY_S:
            raise IdentityUnknown(self._failure)
        try:
            # In a thread of its own: some callers are on an event loop, where Django forbids it.
            with ThreadPoolExecutor(1) as thread:
                return thread.submit(_read_from_database).result()
        except DatabaseError as error:
            self._failure = str(error).partition("\n")[0]
            self._failed_at = time.monotonic()
            raise IdentityUnknown(self._failure) from error


def _read_from_database() -> tuple[str, str]:
    # A connection of its own, closed at once: the thread ends here.
    connection = connections[DEFAULT_DB_ALIAS].copy()
    try:
        return read_identity(connection).installation_id, read_fingerprint(connection)
    finally:
        connection.close()


@once
def _identified() -> Identified:
    return Identified()


def installation_id() -> str:
    """Return the id of the installation. Blocking on the first call.

    Raises IdentityUnknown while the database is away, and WrongInstallation when the id is not the
    one that TRADE_CANVAS_INSTALLATION_ID names.
    """
    found = _identified().get()[0]
    expected = settings.SWITCHES.installation_id
    if expected and expected != found:
        raise WrongInstallation(
            f"wrong_installation: the database belongs to installation {found}, and"
            f" TRADE_CANVAS_INSTALLATION_ID names {expected}; correct DATABASE_URL or the variable"
        )
    return found


def prefix() -> str:
    """Return what every key of this installation begins with.

    The braces keep all keys in one slot of a cluster, as scripts of several keys need.
    """
    return _prefix_of(installation_id())


def _prefix_of(installation: str) -> str:
    return f"{APPLICATION}:{{{installation}}}:"


async def known_prefix() -> str:
    """The same for coroutines: if the database must be read first, that is done in a thread."""
    return prefix() if _identified().is_known else await asyncio.to_thread(prefix)


def cache_key(key: str, key_prefix: str, version: int) -> str:
    """Return the name of an entry of Django's shared cache (the setting KEY_FUNCTION)."""
    return f"{prefix()}cache:{version}:{key}"


def check() -> None:
    """Compare the database with the one that the bus remembers for this installation, if any.

    Blocking. Raises WrongInstallation when they differ, IdentityUnknown while the database is away,
    and RedisError while the bus is.
    """
    if not settings.REDIS_URL:
        return
    key, fingerprint = f"{prefix()}database", _identified().get()[1]
    bus = _bus()
    if bus.set(key, fingerprint, nx=True, ex=REMEMBERED_S) or bus.get(key) == fingerprint:
        bus.expire(key, REMEMBERED_S)
        return
    raise WrongInstallation(
        f"wrong_installation: the bus knows installation {installation_id()} by another database;"
        " if this database is a copy: `manage.py installation --new`;"
        " if it replaces the other one: `manage.py installation --adopt`"
    )


def check_at_start() -> None:
    """Raise WrongInstallation at the start of a program.

    Missing tables or a bus that does not answer are no reason to fail: `market.ingest.presence`
    checks again until both have answered.
    """
    try:
        check()
    except IdentityUnknown as error:
        log.warning("the installation's id is not known yet: %s", error)
    except RedisError as error:
        log.warning("the bus could not be asked for its installation: %s", error)


def keep() -> None:
    """Keep the id in DATA_DIR for `kept_prefix`, in a file for this DATABASE_URL."""
    path = _kept_file()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, installation_id())
    except OSError:
        log.info("the installation's id is not kept: %s can't be written", path, exc_info=True)


def kept_prefix() -> str:
    """Return the prefix; while the database is away, by the id that a process here kept.

    For health checks: they must find a worker that only waits for its database. Raises
    IdentityUnknown if none was kept.
    """
    try:
        return prefix()
    except IdentityUnknown:
        path = _kept_file()
        if not path.is_file():
            raise
        return _prefix_of(path.read_text(encoding="utf-8"))


def _kept_file() -> Path:
    digest = hashlib.blake2b(settings.DATABASE_URL.encode(), digest_size=8).hexdigest()
    return Path(settings.DATA_DIR) / "run" / f"installation-{digest}"


def adopt() -> None:
    """Have the bus remember this database for this installation. Raises RedisError."""
    if settings.REDIS_URL:
        _bus().set(f"{prefix()}database", _identified().get()[1], ex=REMEMBERED_S)


@closed_by(Redis.close)
def _bus() -> Redis:
    return Redis.from_url(
        settings.REDIS_URL,
        socket_timeout=BUS_TIMEOUT_S,
        socket_connect_timeout=BUS_TIMEOUT_S,
        decode_responses=True,
    )
