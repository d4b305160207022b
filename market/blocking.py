"""The bounded pool of threads for database work, each with a connection that it keeps.

Whoever reads or writes candles does it here, in a web process as in a worker: `BLOCKING_WORKERS`
threads, as many connections, and at most `BLOCKING_QUEUE` calls that wait for them.
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
from market.singletons import closed_by, once

P = ParamSpec("P")
T = TypeVar("T")

CALL_TIMEOUT_S = 70.0

# A connection used within this time is taken to be alive: asking costs a round trip a call. But
# one that is always busy must come to its age too.
TRUSTED_S = 1.0
TRUSTED_AT_MOST_S = 60.0

_thread = threading.local()


class PoolBusy(TimeoutError):
    """As many calls wait for a thread as may; this one was not made."""


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
    """One for each call that is under way or waits."""
    switches = settings.SWITCHES
    return threading.Semaphore(switches.blocking_workers + switches.blocking_queue)


async def run(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run `work` on the pool from a coroutine.

    Raises TimeoutError after CALL_TIMEOUT_S, and PoolBusy at once when too many wait.
    """
    running = asyncio.wrap_future(_submitted(partial(work, *args, **kwargs)))
    # Not wait_for: it swallows a cancellation that comes together with the result.
    async with asyncio.timeout(CALL_TIMEOUT_S):
        return await running


def call(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run `work` on the pool from a thread; raises as `run` does."""
    running = _submitted(partial(work, *args, **kwargs))
    try:
        return running.result(CALL_TIMEOUT_S)
    except TimeoutError:
        # It still waits, or is at it and told by the database's own time-out.
        running.cancel()
        raise


def _submitted(work: Callable[[], T]) -> Future[T]:
    places = _places()
    if not places.acquire(blocking=False):
        raise PoolBusy("too many calls wait for the database")
    try:
        running = pool().submit(_prepared(work))
    except BaseException:
        places.release()
        raise
    running.add_done_callback(partial(_over, places))
    return running


def _over(places: threading.Semaphore, running: Future[Any]) -> None:
    places.release()
    if running.cancelled():
        metrics.POOL_WAITING.inc(-1)


def _prepared(work: Callable[[], T]) -> Callable[[], T]:
    """The work as a thread does it: measured, and in the caller's context for what it logs."""
    context = contextvars.copy_context()
    return partial(context.run, _measured, work, metrics.call_queued())


def _measured(work: Callable[[], T], asked_at: float) -> T:
    began_at = metrics.call_began(asked_at)
    try:
        return _guarded(work)
    except BaseException:
        metrics.POOL_FAILURES.inc()
        raise
    finally:
        metrics.call_ended(began_at)


def _guarded(work: Callable[[], T]) -> T:
    now = time.monotonic()
    unused_s, unasked_s = (now - getattr(_thread, name, 0.0) for name in ("used_at", "asked_at"))
    if unused_s > TRUSTED_S or unasked_s > TRUSTED_AT_MOST_S:
        close_old_connections()
        _thread.asked_at = now
    try:
        done = work()
    except BaseException:
        _thread.used_at = 0.0
        raise
    _thread.used_at = time.monotonic()
    return done
