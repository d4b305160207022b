"""Ending the pool of database threads: a connection of theirs would hold up the test database."""

from __future__ import annotations

import threading

from django.db import connections

from lab.waiting import patience
from market import blocking


def end_pool():
    """Close every thread's connection and the pool; the next use makes a new one."""
    if not blocking.pool.cache_info().currsize:
        return
    pool = blocking.pool()
    together = threading.Barrier(pool._max_workers)
    # Each waits for the others, so that every thread gets exactly one of these.
    ended = [pool.submit(_close, together) for _ in range(pool._max_workers)]
    for each in ended:
        each.result(patience(10))
    pool.shutdown()
    blocking.pool.cache_clear()


def _close(together):
    connections.close_all()
    together.wait(patience(10))
