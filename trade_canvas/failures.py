"""Turns what an operator can do something about into one line and an exit status.

An address that is wrong, a server that is away, tables that are missing: a traceback says less than
one line does. Every command ends through `main`, the worker and beat through `end_on_failure`.
Errors that are not listed here are faults of the program and keep their traceback.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management import ManagementUtility
from django.core.management.base import BaseCommand, CommandError
from django.db import Error, InterfaceError, OperationalError
from kombu.exceptions import OperationalError as BrokerError
from redis.exceptions import ConnectionError as BusConnectionError
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as BusTimeoutError
from typing_extensions import override

from factors.domain.foreign import FactorsRefused
from market import collector
from market.bus_address import BusAddressError
from market.domain.lease_store import LeaseStoreUnavailable
from market.domain.store import SeriesDamaged, StoreUnavailable
from market.identity import IdentityUnknown, WrongInstallation
from trade_canvas.checks import UnsafeToStart
from trade_canvas.database import DatabaseUrlError
from trade_canvas.embedded import ServerFailed
from trade_canvas.switches import SwitchError

REFUSED = 1
UNREACHABLE = 69
"""EX_UNAVAILABLE of sysexits.h: the same command may succeed later."""
INTERRUPTED = 130
BROKEN_PIPE = 141

# What PostgreSQL answers about tables, columns, functions and schemas that are not there.
MISSING = frozenset({"42P01", "42703", "42883", "3F000"})
NO_SCHEMA = "3F000"
NO_PRIVILEGE = "42501"
# Connections refused or ended by the server: failed, no privileges, too many, starting, stopping.
NOT_CONNECTED = ("08", "28", "3D", "53300", "57P")
# What pgbouncer answers to the timeouts that a direct connection sets.
POOLER = "unsupported startup parameter"


DISK = frozenset(
    {errno.EACCES, errno.EPERM, errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.ENAMETOOLONG}
)
# Errors of ours whose message is for the operator.
REFUSALS = (
    BusAddressError,
    DatabaseUrlError,
    FactorsRefused,
    ImproperlyConfigured,
    SeriesDamaged,
    ServerFailed,
    SwitchError,
    UnsafeToStart,
    WrongInstallation,
)


@dataclass(frozen=True, slots=True)
class Failure:
    """What to print, in one line, and the exit status."""

    line: str
    status: int = REFUSED


class Commands(ManagementUtility):
    """Runs a management command, after a start in which nothing is collected."""

    @override
    def execute(self) -> None:
        collector.begin_start()
        super().execute()

    @override
    def fetch_command(self, subcommand: str) -> BaseCommand:
        command = super().fetch_command(subcommand)
        collector.end_start()
        return command


def main(arguments: Sequence[str]) -> None:
    """Run a management command; ends the process with one line for a known failure."""
    with end_on_failure():
        Commands(list(arguments)).execute()
        sys.stdout.flush()


@contextmanager
def end_on_failure() -> Iterator[None]:
    """End the process with one line on standard error for a known failure of the block."""
    try:
        yield
    except (Exception, KeyboardInterrupt) as error:
        failure = failure_of(error)
        if failure is None:
            raise
        _end(failure)


def failure_of(error: BaseException) -> Failure | None:
    """Return the failure behind an error, or None when it is a fault of the program."""
    for each in _chain(error):
        if failure := _known(each):
            return failure
    return None


def _end(failure: Failure) -> None:
    if failure.status == BROKEN_PIPE:
        # Nothing can be written any more, and Python would complain about that at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    else:
        # Celery sends what is printed to its log.
        print(failure.line, file=sys.__stderr__, flush=True)
    raise SystemExit(failure.status)


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error, the errors in a group, and those that it was raised from."""
    seen: list[BaseException] = []
    waiting: list[BaseException | None] = [error]
    while waiting:
        each = waiting.pop(0)
        if each is None or each in seen:
            continue
        seen.append(each)
        yield each
        waiting += each.exceptions if isinstance(each, BaseExceptionGroup) else []
        waiting.append(each.__cause__)


def _known(error: BaseException) -> Failure | None:
    if isinstance(error, OSError) and error.errno in DISK:
        return Failure(f"{error.strerror}: {error.filename or 'a file of ours'}")
    return next((explain(error) for kinds, explain in KNOWN if isinstance(error, kinds)), None)


def _of_database(error: Error) -> Failure | None:
    state = getattr(error.__cause__, "pgcode", None) or ""
    if state == NO_SCHEMA:
        return Failure("the schema of search_path is missing in the database: CREATE SCHEMA first")
    if state == NO_PRIVILEGE:
        return Failure(f"the database refuses: {one_line(error)}")
    if state in MISSING:
        return Failure("tables are missing or older than the program: run manage.py migrate")
    if not isinstance(error, OperationalError | InterfaceError):
        return None
    if not state and hasattr(error, "code"):
        # One of our own refusals, whose message names the remedy.
        return Failure(one_line(error))
    if state and not state.startswith(NOT_CONNECTED):
        return Failure(f"the database refuses: {one_line(error)}")
    advice = " (set TRADE_CANVAS_ENABLE_PG_POOLER=1)" if POOLER in str(error) else ""
    line = f"the database (DATABASE_URL) can't be reached: {one_line(error)}{advice}"
    return Failure(line, UNREACHABLE)


def one_line(error: BaseException) -> str:
    """Return an error's message without line breaks, or its class when it has none."""
    return " ".join(str(error).split()) or type(error).__name__


def _unreached(error: BaseException) -> Failure:
    return Failure(f"the bus (REDIS_URL) can't be reached: {one_line(error)}", UNREACHABLE)


# The first that fits: some are subclasses of later ones.
KNOWN: tuple[tuple[Any, Callable[[Any], Failure | None]], ...] = (
    (KeyboardInterrupt, lambda _: Failure("interrupted", INTERRUPTED)),
    (BrokenPipeError, lambda _: Failure("the reader of the output has gone", BROKEN_PIPE)),
    (Error, _of_database),
    (StoreUnavailable, lambda error: Failure(f"{error.code}: {one_line(error)}", UNREACHABLE)),
    (IdentityUnknown, lambda error: Failure(f"{error.code}: {one_line(error)}", UNREACHABLE)),
    ((BusConnectionError, BusTimeoutError, BrokerError, LeaseStoreUnavailable), _unreached),
    (RedisError, lambda error: Failure(f"the bus (REDIS_URL) refuses: {one_line(error)}")),
    (CommandError, lambda error: Failure(one_line(error), error.returncode)),
    (REFUSALS, lambda error: Failure(one_line(error))),
)
