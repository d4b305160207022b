"""Reads under way: those who ask for the same meanwhile wait for the one that Django makes."""

from __future__ import annotations

import asyncio
from collections.abc import Hashable
from typing import Generic, TypeVar

from market.api.asgi import Application, Receive, Scope, Send

Key = TypeVar("Key", bound=Hashable)


class SharedReads(Generic[Key]):
    """Has Django answer requests, whose views leave the answers in a cache; on one event loop."""

    def __init__(self, application: Application) -> None:
        self._application = application
        self._reading: dict[Key, asyncio.Event] = {}

    async def has_ended(self, key: Key) -> bool:
        """Wait for the read of `key` that is under way; False if there is none."""
        reading = self._reading.get(key)
        if reading is None:
            return False
        await reading.wait()
        return True

    async def read(self, key: Key, scope: Scope, receive: Receive, send: Send) -> None:
        """Let Django read and answer; the view leaves the answer in the cache."""
        done = self._reading.setdefault(key, asyncio.Event())
        try:
            await self._application(scope, receive, send)
        finally:
            done.set()
            if self._reading.get(key) is done:
                del self._reading[key]
