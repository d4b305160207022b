"""The bounded pool of threads for database work, each with a connection that it keeps.

Django gives every ASGI request a thread of its own, so a connection opened there is used once. All
reads and writes of candles run here instead: `BLOCKING_WORKERS` threads, as many connections.
"""

from __future__ import annotations

import asyncio
import contextvars
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache, partial
from typing import ParamSpec, TypeVar

from django.conf import settings
from django.db import close_old_connections

from market import metrics_database as metrics

P = ParamSpec("P")
T = TypeVar("T")

CALL_TIMEOUT_S = 70.0

# A connection used within this time is taken to be alive: asking costs a round trip a call.
TRUSTED_S = 1.0

_thread = threading.local()


@lru_cache(maxsize=1)
def pool() -> ThreadPoolExecutor:
    """The process's pool, made at first use (after any fork)."""
    metrics.SIZE.set(settings.SWITCHES.blocking_workers)
    return ThreadPoolExecutor(settings.SWITCHES.blocking_workers, thread_name_prefix="blocking")


async def run(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run `work` on the pool from a coroutine; raise TimeoutError after CALL_TIMEOUT_S."""
    running = asyncio.get_running_loop().run_in_executor(
        pool(), _prepared(partial(work, *args, **kwargs))
    )
    # Not wait_for: it swallows a cancellation that comes together with the result.
    async with asyncio.timeout(CALL_TIMEOUT_S):
        return await running


def call(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run `work` on the pool from a thread; raise TimeoutError after CALL_TIMEOUT_S."""
    return pool().submit(_prepared(partial(work, *args, **kwargs))).result(CALL_TIMEOUT_S)


def _prepared(work: Callable[[], T]) -> Callable[[], T]:
    """The work as a thread does it: measured, and in the caller's context for what it logs."""
    context = contextvars.copy_context()
    return partial(context.run, _measured, work, metrics.asked())


def _measured(work: Callable[[], T], asked_at: float) -> T:
    began_at = metrics.began(asked_at)
    try:
        return _guarded(work)
    except BaseException:
        metrics.FAILURES.inc()
        raise
    finally:
        metrics.ended(began_at)


def _guarded(work: Callable[[], T]) -> T:
    if time.monotonic() - getattr(_thread, "used_at", 0.0) > TRUSTED_S:
        close_old_connections()
    try:
        done = work()
    except BaseException:
        _thread.used_at = 0.0
        raise
    _thread.used_at = time.monotonic()
    return done
