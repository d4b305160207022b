"""Waiting for a condition instead of sleeping for a guess."""

from __future__ import annotations

import asyncio
import time


def wait_until(condition, timeout=5.0):
    """Poll `condition` until it is true; fail after `timeout` seconds."""
    end = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < end, "the condition did not come true in time"
        time.sleep(0.005)


async def eventually(condition, timeout=5.0):
    """Like wait_until, from a coroutine."""
    async with asyncio.timeout(timeout):
        while not condition():  # noqa: ASYNC110  Nobody tells when it comes true.
            await asyncio.sleep(0.005)
