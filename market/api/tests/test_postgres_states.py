"""Heads and epochs on the event loop, over a connection that may end at any time."""

from __future__ import annotations

import asyncio

import psycopg2
import pytest
from django.db import connection

from lab.waiting import eventually
from market import blocking, runtime
from market.stores import postgres_states
from market.stores.postgres_states import PostgresSeriesStates, connection_parameters
from market.tests.builders import MINUTE, candles

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("on_postgres")]


NAME = "heads under test"


@pytest.fixture
async def reader():
    made = PostgresSeriesStates(connection_parameters() | {"application_name": NAME})
    yield made
    made.close()


async def store(*times):
    await blocking.run(runtime.pipeline().ingest, MINUTE, candles(*times))


async def run(statement, *arguments):
    def execute():
        with connection.cursor() as cursor:
            cursor.execute(statement, arguments)
            return cursor.fetchall()

    return await blocking.run(execute)


async def end_connection():
    await run(
        "SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity WHERE application_name = %s",
        NAME,
    )


async def test_each_look_up_sees_what_was_committed_before(reader):
    assert (await reader.states([MINUTE]))[MINUTE][:2] == (None, 0)
    for head in (60, 120):
        await store(head)
        assert (await reader.states([MINUTE]))[MINUTE][:2] == (head, 0)


async def test_connection_that_ended_while_unused_is_replaced(reader):
    await store(60)
    await reader.states([MINUTE])
    await end_connection()
    await eventually(lambda: not reader.is_connected)
    assert (await reader.states([MINUTE]))[MINUTE][:2] == (60, 0)


async def test_connection_that_ends_during_a_look_up_raises_once(reader, monkeypatch):
    await store(60)
    await reader.states([MINUTE])
    monkeypatch.setattr(reader, "statement_of_one", "SELECT %s, pg_sleep(600)")
    look_up = asyncio.create_task(reader.states([MINUTE]))
    await asyncio.sleep(0)
    await end_connection()
    with pytest.raises(psycopg2.OperationalError):
        await look_up
    monkeypatch.undo()
    assert (await reader.states([MINUTE]))[MINUTE][:2] == (60, 0)


async def test_look_up_that_takes_too_long_ends(reader, monkeypatch):
    await store(60)
    await reader.states([MINUTE])
    monkeypatch.setattr(postgres_states, "TIMEOUT_S", 0.01)
    monkeypatch.setattr(reader, "statement_of_one", "SELECT %s, pg_sleep(600)")
    with pytest.raises(TimeoutError):
        await reader.states([MINUTE])
    monkeypatch.undo()
    assert (await reader.states([MINUTE]))[MINUTE][:2] == (60, 0)
    await end_connection()
