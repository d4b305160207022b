"""Heads and epochs for many concurrent reads by one query at a time.

A read may only use a query that began after the read arrived, or it could answer with a head that
was already stale. So all reads that arrive while one query runs share the next one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping

from market.domain.series import SeriesId
from market.domain.store import EMPTY, SeriesState

ReadStates = Callable[[Iterable[SeriesId]], Awaitable[Mapping[SeriesId, SeriesState]]]


class SeriesStates:
    """Coalesces look-ups; belongs to one event loop."""

    def __init__(self, read: ReadStates) -> None:
        self._read = read
        self._waiting: dict[SeriesId, asyncio.Future[SeriesState]] = {}
        self._reading: asyncio.Task[None] | None = None

    async def state(self, series: SeriesId) -> SeriesState:
        """Where the series stands now; raises what the store raises."""
        waiting = self._waiting.get(series)
        if waiting is None:
            waiting = self._waiting[series] = asyncio.get_running_loop().create_future()
            if self._reading is None:
                self._reading = asyncio.create_task(self._read_while_awaited())
        # Shielded: one reader that goes away must not take the answer from the others.
        return await asyncio.shield(waiting)

    async def _read_while_awaited(self) -> None:
        try:
            while self._waiting:
                asked, self._waiting = self._waiting, {}
                await self._answer(asked)
        finally:
            self._reading = None

    async def _answer(self, asked: dict[SeriesId, asyncio.Future[SeriesState]]) -> None:
        try:
            found = await self._read(list(asked))
        except Exception as error:
            for waiting in asked.values():
                waiting.set_exception(error)
                # Whoever asked may be gone; an error nobody awaits is no news.
                waiting.exception()
            return
        for series, waiting in asked.items():
            waiting.set_result(found.get(series, EMPTY))
