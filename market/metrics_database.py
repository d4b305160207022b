"""The pool of threads that hold database connections, as metrics (market.blocking)."""

from __future__ import annotations

import time

from market.metrics_registry import Counter, Gauge, Histogram

CALLS = Histogram(
    "market_database_call_seconds", "Work of the threads that hold database connections."
)
WAIT = Histogram("market_database_wait_seconds", "Waiting for such a thread to be free.")
BUSY = Gauge("market_database_pool_busy", "Threads of the pool at work.")
WAITING = Gauge("market_database_pool_waiting", "Calls that wait for a thread.")
SIZE = Gauge("market_database_pool_size", "Threads, and database connections, at most.")
FAILURES = Counter("market_database_failures_total", "Calls that raised an exception.")


def asked() -> float:
    """A call waits for a thread; answers now, of time.perf_counter."""
    WAITING.inc()
    return time.perf_counter()


def began(asked_at: float) -> float:
    """A thread took the call; answers now, of time.perf_counter."""
    now = time.perf_counter()
    WAITING.inc(-1)
    BUSY.inc()
    WAIT.observe(now - asked_at)
    return now


def ended(began_at: float) -> None:
    """The call is over, one way or another."""
    BUSY.inc(-1)
    CALLS.observe(time.perf_counter() - began_at)
