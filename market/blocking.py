"""The bounded pool of threads for database work, each with a persistent connection.

Candles are read and written here, in a web process as in a worker: `BLOCKING_WORKERS` threads, as
many connections, and at most `BLOCKING_QUEUE` calls that wait for them.
"""

from __future__ import annotations

import asyncio
import contextvars
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any, ParamSpec, TypeVar

from django.conf import settings
from django.db import close_old_connections, connections

from market import metrics
from market.costs import measured
from market.singletons import closed_by, once

P = ParamSpec("P")
T = TypeVar("T")

CALL_TIMEOUT_S = 70.0

# A connection used within this time is assumed to be alive, since a check costs a round trip. The
# second limit lets a connection that is always busy reach its maximum age.
TRUSTED_S = 1.0
TRUSTED_AT_MOST_S = 60.0

_thread = threading.local()


class PoolBusy(TimeoutError):
    """The queue for a thread is full; the call was not made."""


def _close_pool(threads: ThreadPoolExecutor) -> None:
    """Close the connection of every thread, then end the threads."""
    # Each call waits for the others, so that every thread gets exactly one.
    together = threading.Barrier(threads._max_workers)
    for done in [threads.submit(_close, together) for _ in range(threads._max_workers)]:
        done.result(CALL_TIMEOUT_S)
    threads.shutdown()


def _close(together: threading.Barrier) -> None:
    connections.close_all()
    together.wait(CALL_TIMEOUT_S)


@closed_by(_close_pool)
def pool() -> ThreadPoolExecutor:
    """The process's pool, made at first use (after any fork)."""
    metrics.POOL_SIZE.set(settings.SWITCHES.blocking_workers)
    return ThreadPoolExecutor(settings.SWITCHES.blocking_workers, thread_name_prefix="blocking")


@once
def _places() -> threading.Semaphore:
    """One place for each call that runs or waits."""
    switches = settings.SWITCHES
    return threading.Semaphore(switches.blocking_workers + switches.blocking_queue)


async def run(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run `work` on the pool from a coroutine.

    Raises TimeoutError after CALL_TIMEOUT_S, and PoolBusy at once when too many wait.
    """
    running = asyncio.wrap_future(submit(partial(work, *args, **kwargs)))
    # Not wait_for: it swallows a cancellation that comes together with the result.
    async with asyncio.timeout(CALL_TIMEOUT_S):
        return await running


def call(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run `work` on the pool from a thread; raises as `run` does."""
    running = submit(partial(work, *args, **kwargs))
    try:
        return running.result(CALL_TIMEOUT_S)
    except TimeoutError:
        # Ends it if it still waits; a running one ends with the statement timeout.
        running.cancel()
        raise


def submit(work: Callable[[], T]) -> Future[T]:
    """Run `work` on the pool, in the caller's context; raises PoolBusy when too many wait."""
    places = _places()
    if not places.acquire(blocking=False):
        raise PoolBusy("too many calls wait for the database")
    try:
        # In the caller's context, which the work's log lines need.
        run_in_context = contextvars.copy_context().run
        running = pool().submit(run_in_context, _measured, work, metrics.call_queued())
    except BaseException:
        places.release()
        raise
    running.add_done_callback(partial(_ended, places))
    return running


def _ended(places: threading.Semaphore, running: Future[Any]) -> None:
    places.release()
    if running.cancelled():
        metrics.POOL_WAITING.inc(-1)


def _measured(work: Callable[[], T], queued_at: float) -> T:
    began_at = metrics.call_began(queued_at)
    try:
        with measured():
            return _with_live_connection(work)
    except BaseException:
        metrics.POOL_FAILURES.inc()
        raise
    finally:
        metrics.call_ended(began_at)


def _with_live_connection(work: Callable[[], T]) -> T:
    """Run the work after a check of this thread's connection, if one is due."""
    now = time.monotonic()
    unused_s, unchecked_s = (
        now - getattr(_thread, name, 0.0) for name in ("used_at", "checked_at")
    )
    if unused_s > TRUSTED_S or unchecked_s > TRUSTED_AT_MOST_S:
        close_old_connections()
        _thread.checked_at = now
    try:
        result = work()
    except BaseException:
        # Makes the next call check: the connection may be the reason.
        _thread.used_at = 0.0
        raise
    _thread.used_at = time.monotonic()
    return result
