from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from django.db import OperationalError, connections

from lab.waiting import patience
from market import blocking


@pytest.fixture
def small_pool(settings):
    """One thread, and two calls that may wait for it."""
    settings.SWITCHES = replace(settings.SWITCHES, blocking_workers=1, blocking_queue=2)


@pytest.fixture
def held(small_pool):
    """The one thread is at work until the event is set."""
    began, go = threading.Event(), threading.Event()

    def hold():
        began.set()
        go.wait(patience(10))

    with ThreadPoolExecutor(1) as caller:
        caller.submit(blocking.call, hold)
        assert began.wait(patience(10))
        yield go
        go.set()


async def test_calls_beyond_the_queue_are_refused_at_once(held):
    waiting = [asyncio.create_task(blocking.run(int)) for _ in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(blocking.PoolBusy):
        await blocking.run(int)
    held.set()
    assert await asyncio.gather(*waiting) == [0, 0]
    assert await blocking.run(int) == 0


async def test_call_that_is_given_up_leaves_its_place(held):
    for _ in range(5):
        given_up = asyncio.create_task(blocking.run(int))
        await asyncio.sleep(0)
        given_up.cancel()
        with pytest.raises(asyncio.CancelledError):
            await given_up
    waiting = asyncio.create_task(blocking.run(int))
    await asyncio.sleep(0)
    held.set()
    assert await waiting == 0


def test_call_that_waits_too_long_leaves_its_place(held, monkeypatch):
    monkeypatch.setattr(blocking, "CALL_TIMEOUT_S", 0.01)
    for _ in range(5):
        with pytest.raises(TimeoutError):
            blocking.call(int)


def test_call_that_fails_leaves_its_place(small_pool):
    for _ in range(5):
        with pytest.raises(ZeroDivisionError):
            blocking.call(lambda: 1 // 0)
    assert blocking.call(int) == 0


def server_process():
    with connections["default"].cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        return cursor.fetchone()[0]


@pytest.mark.django_db(transaction=True)
def test_connection_is_kept_until_it_comes_to_its_age(small_pool, monkeypatch):
    first = blocking.call(server_process)
    assert blocking.call(server_process) == first
    # A call each moment: the thread is never idle, and still has to look.
    monkeypatch.setattr(blocking, "TRUSTED_AT_MOST_S", 0.0)
    assert blocking.call(server_process) == first
    blocking.call(lambda: setattr(connections["default"], "close_at", 0.0))
    assert blocking.call(server_process) != first


@pytest.mark.django_db(transaction=True)
def test_connection_that_broke_is_replaced_after_one_failure(small_pool):
    first = blocking.call(server_process)
    with connections["default"].cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s, 5000)", [first])
    seen = []
    for _ in range(3):
        try:
            seen.append(blocking.call(server_process))
        except OperationalError:
            seen.append(None)
    assert seen[-2:] == [seen[-1]] * 2
    assert seen[-1] not in (first, None)
