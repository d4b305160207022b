"""A bound on the memory of answers that clients have asked for and not read yet.

An answer of some hundred kilobytes lies in this process until its client has taken it, and the
page cache knows nothing of it. So only so many bytes of large answers may be under way at once.
When that is reached, the next answer waits, and the client that has been reading for longest is
disconnected to make room.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import NamedTuple

from market.api.asgi import CONNECTION, Application, HeaderList, Message, Receive, Scope, Send

MOST_BYTES = 24 * 1024 * 1024

# What a connection buffers anyway; a smaller answer is not counted.
SMALL_BYTES = 65_536

# A client is only disconnected after this long, or a burst of honest ones would be.
PATIENCE_S = 1.0
LOOK_S = 0.1


class Connection(NamedTuple):
    """What the server can do with a connection beyond ASGI."""

    drained: Callable[[], Awaitable[None]]
    """Waits until the client has read nearly everything that was written."""
    abort: Callable[[], None]
    """Closes at once, without waiting for the client."""


@dataclass(slots=True, eq=False)
class _Unread:
    """A large answer under way."""

    began_at: float
    size: int
    connection: Connection | None


class UnreadAnswers:
    """ASGI middleware that bounds the bytes of large answers under way; belongs to one event loop.

    Without `Connection` in the scope (Daphne, which buffers without a limit) it only counts.
    """

    def __init__(self, application: Application, *, most_bytes: int = MOST_BYTES) -> None:
        self._application = application
        self._most_bytes = most_bytes
        # In the order in which they began.
        self._under_way: dict[_Unread, None] = {}
        self._turn = asyncio.Lock()
        self._freed = asyncio.Event()
        self.bytes = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and hold back its answer while there is no room for it."""
        unread: _Unread | None = None

        async def start(message: Message, size: int) -> None:
            nonlocal unread
            unread = await self._begin(size, scope)
            await send(message)

        def send_with_room(message: Message) -> Awaitable[None]:
            if message["type"] == "http.response.start":
                size = _length(message["headers"])
                if size > SMALL_BYTES:
                    return start(message, size)
            return send(message)

        try:
            await self._application(scope, receive, send_with_room)
            if unread is not None and unread.connection is not None:
                await unread.connection.drained()
        finally:
            if unread is not None:
                del self._under_way[unread]
                self.bytes -= unread.size
                self._freed.set()

    async def _begin(self, size: int, scope: Scope) -> _Unread:
        """Count an answer as soon as there is room."""
        if self.bytes > self._most_bytes or self._turn.locked():
            async with self._turn:
                while self.bytes > self._most_bytes:
                    self._freed.clear()
                    self._make_room()
                    with suppress(TimeoutError):
                        async with asyncio.timeout(LOOK_S):
                            await self._freed.wait()
        connection = scope.get("state", {}).get(CONNECTION)
        unread = _Unread(time.monotonic(), size, connection)
        self._under_way[unread] = None
        self.bytes += size
        return unread

    def _make_room(self) -> None:
        """Disconnect the client that has been reading for longest, unless it began just now."""
        oldest = next(iter(self._under_way))
        if oldest.connection and time.monotonic() - oldest.began_at > PATIENCE_S:
            oldest.connection.abort()


def _length(headers: HeaderList) -> int:
    for name, value in headers:
        if name.lower() == b"content-length":
            return int(value)
    return 0
