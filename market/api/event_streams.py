"""What streams of server-sent events have in common: places, frames, and an end with the client."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import AsyncGenerator, Iterator

from django.utils.translation import gettext_lazy as _

from market.api.asgi import Receive, Send
from market.api.error_codes import ErrorCode
from market.api.errors import ApiError

# A stream ends after this and EventSource opens the next one, so that no client is kept for ever.
MAX_STREAM_S = 900.0

HEADERS = {
    "Content-Type": "text/event-stream",
    "Cache-Control": "no-cache",
    "X-Accel-Buffering": "no",
}


class StreamPlaces:
    """The number of open streams of this process, and its bound."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._lock = threading.Lock()
        self.taken = 0

    def require_free(self) -> None:
        """Raise ApiError 503 `too_many_streams` when all are taken."""
        if self.taken >= self._most:
            raise ApiError(503, ErrorCode.TOO_MANY_STREAMS, _("too many streams are open"))

    @contextlib.contextmanager
    def take(self) -> Iterator[None]:
        """Hold a place for as long as the block runs."""
        with self._lock:
            self.taken += 1
        try:
            yield
        finally:
            with self._lock:
                self.taken -= 1


async def send_until_gone(events: AsyncGenerator[bytes], receive: Receive, send: Send) -> None:
    """Send a body as it comes, until it ends or the client is gone."""

    async def send_all() -> None:
        async with contextlib.aclosing(events) as each:
            async for event in each:
                await send({"type": "http.response.body", "body": event, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def disconnected() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass

    tasks = [asyncio.create_task(send_all()), asyncio.create_task(disconnected())]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def ping() -> bytes:
    """A comment that shows the client, and every proxy, that the stream lives."""
    return f": ping {int(time.time())}\n\n".encode()


def event(name: str, data: bytes, *, number: int | str | None = None) -> bytes:
    """An event with its data, one line of JSON; `number` is its id."""
    identity = "" if number is None else f"id: {number}\n"
    return f"{identity}event: {name}\ndata: {data.decode()}\n\n".encode()
