"""Reads the states of series from PostgreSQL on the event loop, for the hot read paths.

Serving a cached page is cheaper than a hand-over to a thread and back, so this one small query has
a connection of its own, whose socket the event loop watches.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Generic, TypeVar

import psycopg2
import psycopg2.extensions as driver
from django.db import DEFAULT_DB_ALIAS, connections
from typing_extensions import override

from market.domain.series import SeriesId
from market.domain.store import SeriesState
from market.stores.postgres_series import STATE, STATES, states_in
from market.timeouts import Timeout

TIMEOUT_S = 5.0

State = TypeVar("State")


class PostgresStates(ABC, Generic[State]):
    """One connection for one query at a time; belongs to one event loop.

    `statement` takes the names of the series. `statement_of_one`, if there is one, takes the name
    of a single series, and has no row for an unknown one.
    """

    statement: str
    statement_of_one = ""

    def __init__(self, parameters: dict[str, Any]) -> None:
        self._parameters = parameters
        self._connection: Any = None
        self._socket: int | None = None
        self._done: asyncio.Future[None] | None = None
        self._timeout: Timeout | None = None

    @property
    def is_connected(self) -> bool:
        """Whether a connection is open, as far as is known."""
        return self._connection is not None

    @abstractmethod
    def parsed(
        self, rows: Sequence[tuple[Any, ...]], asked: Mapping[str, SeriesId]
    ) -> dict[SeriesId, State]:
        """The states in the rows of the statement, of every series, given by its name."""

    async def states(self, series: Iterable[SeriesId]) -> dict[SeriesId, State]:
        """The states of several series in one query, or in two for one that is unknown.

        Raises psycopg2.Error or TimeoutError; the next call connects again.
        """
        asked = {str(each): each for each in series}
        try:
            if self._connection is None:
                async with asyncio.timeout(TIMEOUT_S):
                    await self._connect()
            only_one = self.statement_of_one if len(asked) == 1 else ""
            rows = await self._rows(only_one, tuple(asked)) if only_one else []
            return self.parsed(rows or await self._rows(self.statement, (list(asked),)), asked)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the connection."""
        if self._timeout is not None:
            self._timeout.close()
        connection, self._connection = self._connection, None
        number, self._socket = self._socket, None
        if number is not None:
            asyncio.get_running_loop().remove_reader(number)
        if connection is not None:
            connection.close()

    async def _connect(self) -> None:
        # The driver may try several sockets, so none is watched before it is connected.
        self._connection = connection = psycopg2.connect(**self._parameters, async_=True)
        while (wanted := connection.poll()) != driver.POLL_OK:
            await _ready(connection.fileno(), for_writing=wanted == driver.POLL_WRITE)
        self._socket = connection.fileno()
        asyncio.get_running_loop().add_reader(self._socket, self._read)

    async def _rows(self, statement: str, values: tuple[object, ...]) -> list[Any]:
        with self._connection.cursor() as cursor:
            cursor.execute(statement, values)
            await self._finished()
            return list(cursor.fetchall())

    async def _finished(self) -> None:
        """Wait until the query has its result."""
        while (wanted := self._connection.poll()) == driver.POLL_WRITE:
            await _ready(self._connection.fileno(), for_writing=True)
        if wanted == driver.POLL_OK:
            return
        loop = asyncio.get_running_loop()
        if self._timeout is None:
            self._timeout = Timeout(loop, self._expired)
        self._done = loop.create_future()
        self._timeout.start(TIMEOUT_S)
        try:
            await self._done
        finally:
            self._timeout.stop()
            self._done = None

    def _expired(self) -> None:
        if self._done is not None:
            _fail(self._done, TimeoutError())

    def _read(self) -> None:
        """Called when the server sent data or closed the connection."""
        try:
            is_finished = self._connection.poll() == driver.POLL_OK
        except psycopg2.Error as error:
            if self._done is not None:
                _fail(self._done, error)
            self.close()
        else:
            if is_finished and self._done is not None and not self._done.done():
                self._done.set_result(None)


class PostgresSeriesStates(PostgresStates[SeriesState]):
    """Reads heads and epochs."""

    statement = STATES
    statement_of_one = STATE

    @override
    def parsed(
        self, rows: Sequence[tuple[Any, ...]], asked: Mapping[str, SeriesId]
    ) -> dict[SeriesId, SeriesState]:
        return states_in(rows, asked)


def connection_parameters() -> dict[str, Any]:
    """What the driver connects with, for a connection that is not Django's."""
    parameters = connections[DEFAULT_DB_ALIAS].get_connection_params()
    parameters.pop("cursor_factory", None)
    return dict(parameters)


def _fail(done: asyncio.Future[None], error: Exception) -> None:
    if not done.done():
        done.set_exception(error)


async def _ready(number: int, *, for_writing: bool) -> None:
    """Wait until a socket is readable, or writable."""
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    if for_writing:
        loop.add_writer(number, ready.set)
    else:
        loop.add_reader(number, ready.set)
    try:
        await ready.wait()
    finally:
        (loop.remove_writer if for_writing else loop.remove_reader)(number)
