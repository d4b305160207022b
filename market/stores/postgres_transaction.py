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
    # For Django the block is a transaction like any other; so savepoints and hooks work in it.
    with transaction.atomic(), cursor_of() as cursor:
        driver: Any = connection.connection
        # The driver has sent nothing yet, and now sends neither BEGIN nor COMMIT nor ROLLBACK.
        driver.autocommit = True
        try:
            yield Begun(cursor, "BEGIN;", b";COMMIT")
            if driver.info.transaction_status != TRANSACTION_STATUS_IDLE:
                cursor.execute("COMMIT")
        except BaseException:
            _roll_back(connection, driver)
            raise


def _roll_back(connection: Any, driver: Any) -> None:
    """End the server's transaction, or the connection where that fails."""
    try:
        if driver.info.transaction_status != TRANSACTION_STATUS_IDLE:
            with driver.cursor() as cursor:
                cursor.execute("ROLLBACK")
    except Exception:
        connection.close()
