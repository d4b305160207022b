"""The bounded queue between an exchange's streams and whoever follows them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from market.domain.feed import FeedEvent, Forming, Interrupted

SIZE = 20_000


class Outlet:
    """Events in order. When it is full events are dropped, and an Interrupted says so."""

    def __init__(self, size: int = SIZE) -> None:
        self._queue: asyncio.Queue[FeedEvent | None] = asyncio.Queue(size)
        self._size = size
        self._dropped = False
        self._closed = False

    def put(self, event: FeedEvent) -> None:
        """Hand an event on, without waiting."""
        # The next forming state makes up for a lost one, so these leave room for the others.
        if isinstance(event, Forming) and self._queue.qsize() > self._size // 2:
            return
        try:
            self._queue.put_nowait(event)
        except asyncio.QueueFull:
            self._dropped = True

    def close(self) -> None:
        """End the events, at the latest when those in the queue are taken."""
        self._closed = True
        if not self._queue.full():
            self._queue.put_nowait(None)

    async def events(self) -> AsyncIterator[FeedEvent]:
        """The events, until closed."""
        while not (self._closed and self._queue.empty()):
            event = await self._queue.get()
            if event is None:
                return
            yield event
            if self._dropped and self._queue.empty():
                self._dropped = False
                yield Interrupted(None, "more events than could be taken")
