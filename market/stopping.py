"""Cancelling tasks reliably."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

# Seconds to wait after each cancellation.
_PATIENCE_S = 0.5
_ATTEMPTS = 4


async def stop(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancel tasks and wait until they have ended; their exceptions are discarded.

    A library may swallow a cancellation (asyncio.wait_for does when its result arrives at the same
    moment), so it is repeated for a task that keeps running.
    """
    left = {task for task in tasks if not task.done()}
    for _ in range(_ATTEMPTS):
        for task in left:
            task.cancel()
        if left:
            done, left = await asyncio.wait(left, timeout=_PATIENCE_S)
            await asyncio.gather(*done, return_exceptions=True)
