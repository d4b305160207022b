"""Coroutines that ask for the same thing at the same time share one piece of work."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Hashable
from functools import partial
from typing import Any, Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class SingleFlight(Generic[K, V]):
    """Runs one piece of work per key at a time; belongs to one event loop."""

    def __init__(self) -> None:
        self._running: dict[K, asyncio.Task[V]] = {}

    async def result(self, key: K, work: Callable[[], Coroutine[Any, Any, V]]) -> V:
        """The result of `work`, or of the work that runs for `key` already; raises what it does."""
        running = self._running.get(key)
        if running is None:
            running = self._running[key] = asyncio.create_task(work())
            running.add_done_callback(partial(self._ended, key))
        # A caller that is cancelled must not take the result from the others.
        return await asyncio.shield(running)

    def _ended(self, key: K, task: asyncio.Task[V]) -> None:
        del self._running[key]
        if not task.cancelled():
            # Marks an error as retrieved when every caller was cancelled.
            task.exception()
