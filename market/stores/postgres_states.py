"""Heads and epochs from PostgreSQL on the event loop itself, for the hot read path.

A cached page costs less than handing its head's look-up to a thread and back. So this one small
query goes over a connection of its own that the event loop waits for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

import psycopg2
import psycopg2.extensions as driver

from market.domain.series import SeriesId
from market.domain.store import SeriesState

STATEMENT = "SELECT name, head_time, epoch FROM series WHERE name = ANY(%s)"
TIMEOUT_S = 5.0


class PostgresStates:
    """One connection for one query at a time; belongs to one event loop."""

    def __init__(self, parameters: dict[str, Any]) -> None:
        self._parameters = parameters
        self._connection: Any = None

    async def states(self, series: Iterable[SeriesId]) -> dict[SeriesId, SeriesState]:
        """See CandleStore.states; raises psycopg2.Error or TimeoutError, and then reconnects."""
        by_name = {str(each): each for each in series}
        try:
            async with asyncio.timeout(TIMEOUT_S):
                rows = await self._rows(list(by_name))
        except BaseException:
            self.close()
            raise
        return {by_name[name]: SeriesState(head, epoch) for name, head, epoch in rows}

    def close(self) -> None:
        """Close the connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    async def _rows(self, names: list[str]) -> list[Any]:
        if self._connection is None:
            self._connection = psycopg2.connect(**self._parameters, async_=True)
            await _ready(self._connection)
        with self._connection.cursor() as cursor:
            cursor.execute(STATEMENT, (names,))
            await _ready(self._connection)
            return list(cursor.fetchall())


async def _ready(connection: Any) -> None:
    """Wait until what the connection is doing is done."""
    while (wanted := connection.poll()) != driver.POLL_OK:
        await _socket(connection.fileno(), for_writing=wanted == driver.POLL_WRITE)


async def _socket(number: int, *, for_writing: bool) -> None:
    """Wait until the socket can be read, or written."""
    loop = asyncio.get_running_loop()
    ready = loop.create_future()
    add, remove = (
        (loop.add_writer, loop.remove_writer)
        if for_writing
        else (loop.add_reader, loop.remove_reader)
    )
    add(number, _set, ready)
    try:
        await ready
    finally:
        remove(number)


def _set(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)
