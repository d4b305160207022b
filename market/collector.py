"""Keeps Python's garbage collector from running in the middle of a group commit.

A group allocates so much that the collector would run a dozen times, and now and then over all that
the process holds, which takes longer than the group. Nearly all of it is freed without a collector.
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
