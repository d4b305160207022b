"""A transaction of the write path, whose BEGIN and COMMIT travel with its first and last statement.

Sent by themselves, as Django and the driver do, they are half of the round trips of a live candle.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, NamedTuple

from django.db import DEFAULT_DB_ALIAS, connections, transaction
from psycopg2.extensions import TRANSACTION_STATUS_IDLE


class Begun(NamedTuple):
    """An open transaction: what its first statement begins with, and its last one ends with.

    Both are empty inside another transaction, which is Django's. A transaction whose last statement
    did not commit is committed when it is left.
    """

    cursor: Any
    begin: str
    commit: bytes


@contextmanager
def begun(cursor_of: Callable[[], AbstractContextManager[Any]]) -> Iterator[Begun]:
    """A transaction on the driver's cursor; an exception inside rolls it back."""
    connection = connections[DEFAULT_DB_ALIAS]
    if connection.in_atomic_block:
        with transaction.atomic(), cursor_of() as cursor:
            yield Begun(cursor, "", b"")
        return
    with cursor_of() as cursor:
        driver: Any = connection.connection
        # The driver commits each text that it is sent, unless that begins a transaction. Django is
        # told of one that somebody else began and ends: it knows that it is in a transaction, so
        # savepoints and hooks work, and does nothing at its beginning and end, which would take as
        # long as all else here.
        connection.autocommit = False
        try:
            with transaction.atomic(savepoint=False):
                try:
                    yield Begun(cursor, "BEGIN;", b";COMMIT")
                    if driver.info.transaction_status != TRANSACTION_STATUS_IDLE:
                        cursor.execute("COMMIT")
                except BaseException:
                    connection.run_on_commit.clear()
                    _roll_back(connection, driver)
                    raise
        finally:
            # Where the connection was lost Django leaves the block open, too.
            connection.in_atomic_block = connection.needs_rollback = False
            connection.autocommit = True
        if connection.run_on_commit:
            connection.run_and_clear_commit_hooks()


@contextmanager
def opened_for_django(open_: Callable[[], None]) -> Iterator[None]:
    """Call `open_` before each statement of Django's own: it takes the transaction for begun."""

    def opened(execute: Callable[..., Any], *given: Any) -> Any:
        open_()
        return execute(*given)

    with connections[DEFAULT_DB_ALIAS].execute_wrapper(opened):
        yield


def _roll_back(connection: Any, driver: Any) -> None:
    """End the server's transaction, or the connection where that fails."""
    try:
        if driver.info.transaction_status != TRANSACTION_STATUS_IDLE:
            with driver.cursor() as cursor:
                cursor.execute("ROLLBACK")
    except Exception:
        connection.close()
