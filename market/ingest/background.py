"""Ingest work beside the web process's own: a bounded number of coroutines on its event loop."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from market.stopping import stop

log = logging.getLogger(__name__)

AT_ONCE = 2
MAX_WAITING = 100


class Background:
    """Runs submitted coroutines, two at once and at most a hundred waiting."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._places = asyncio.Semaphore(AT_ONCE)

    def open(self) -> None:
        """Accept work for the running event loop."""
        self._loop = asyncio.get_running_loop()
        self._places = asyncio.Semaphore(AT_ONCE)

    async def close(self) -> None:
        """Accept no more, and end what runs."""
        self._loop = None
        await stop(self._tasks)

    def submit(self, work: Callable[[], Awaitable[object]]) -> bool:
        """Run `work` soon, from any thread; False when that can't be."""
        if self._loop is None or len(self._tasks) >= MAX_WAITING:
            return False
        self._loop.call_soon_threadsafe(self._start, work)
        return True

    def _start(self, work: Callable[[], Awaitable[object]]) -> None:
        task = asyncio.get_running_loop().create_task(self._run(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self, work: Callable[[], Awaitable[object]]) -> None:
        async with self._places:
            try:
                await work()
            except Exception:
                log.exception("background ingest work failed")


BACKGROUND = Background()
