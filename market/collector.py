"""Keeps Python's garbage collector from running where it finds nothing: group commits and starts.

A group allocates so much that the collector would run a dozen times, and now and then over all that
the process holds, which takes longer than the group. Nearly all of it is freed without a collector.
A process that starts allocates its modules, which stay until its end.
"""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_pausing = threading.Lock()


@contextmanager
def paused() -> Iterator[None]:
    """Collect nothing inside, unless another thread pauses already.

    A pause never begins while another one lasts: else they could overlap for ever.
    """
    if not gc.isenabled() or not _pausing.acquire(blocking=False):
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        _pausing.release()


def begin_start() -> None:
    """Collect nothing while a process loads its modules, until `end_start`."""
    gc.disable()


def end_start() -> None:
    """Collect again, but never look through what was loaded: it stays until the process ends."""
    gc.freeze()
    gc.enable()
