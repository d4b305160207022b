"""How this web process leaves: unready first, then closed to new requests, then without the rest.

A load balancer learns from /readyz that the process is leaving while it still serves; only then is
anything refused. Whatever is refused or broken off says so, and can be asked of another process.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from enum import IntEnum

import orjson

from market.api.asgi import Application, Receive, Scope, Send, json_headers, respond

SHUTTING_DOWN = orjson.dumps({"detail": "server_shutting_down", "code": "server_shutting_down"})
EVENT_STREAM = b"text/event-stream"


class Step(IntEnum):
    """How far the end has come."""

    SERVING = 0
    LEAVING = 1
    """Not ready any more, but everything is served."""
    CLOSED = 2
    """Nothing new is begun."""


class Ending:
    """What is under way in a process, and how far its end has come. Used from the event loop."""

    def __init__(self) -> None:
        self.step = Step.SERVING
        self.under_way: dict[asyncio.Task[object], Scope] = {}

    def is_closed(self) -> bool:
        """Whether nothing new is begun."""
        return self.step is Step.CLOSED

    @property
    def requests(self) -> int:
        """HTTP requests under way."""
        return sum(scope["type"] == "http" for scope in self.under_way.values())

    def leave(self) -> None:
        """Be unready, but serve."""
        self.step = max(self.step, Step.LEAVING)

    def close(self) -> None:
        """Begin nothing new, and break off streams: they would go on for ever."""
        self.step = Step.CLOSED
        self._cancel(streams_only=True)

    def break_off(self) -> None:
        """End every HTTP request that is still under way."""
        self._cancel(streams_only=False)

    def _cancel(self, *, streams_only: bool) -> None:
        for task, scope in list(self.under_way.items()):
            if scope["type"] == "http" and (not streams_only or _is_stream(scope)):
                task.cancel()


# Of this process: /readyz tells it, and the server moves it on.
ENDING = Ending()


class EndingGuard:
    """ASGI middleware around everything: keeps the books, and refuses what comes too late."""

    def __init__(self, application: Application, *, ending: Ending = ENDING) -> None:
        self._application = application
        self._ending = ending

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, unless the process is closed."""
        ending, task = self._ending, asyncio.current_task()
        assert task is not None
        if ending.is_closed():
            await _refuse(scope, send)
            return
        ending.under_way[task] = scope
        try:
            await self._application(scope, receive, send)
        except asyncio.CancelledError:
            if not ending.is_closed() or scope["type"] != "http":
                raise
            await _end(scope, send)
        finally:
            del ending.under_way[task]


def _is_stream(scope: Scope) -> bool:
    return any(name == b"accept" and EVENT_STREAM in value for name, value in scope["headers"])


async def _refuse(scope: Scope, send: Send) -> None:
    if scope["type"] == "http":
        headers = [*json_headers(SHUTTING_DOWN), (b"connection", b"close")]
        await respond(send, 503, headers, SHUTTING_DOWN)
    else:
        await send({"type": "websocket.close", "code": 1001, "reason": "server_shutdown"})


async def _end(scope: Scope, send: Send) -> None:
    """Refuse a request that has not begun to be answered, and end the answer of one that has."""
    # The server knows which it is: it lets no answer begin twice.
    try:
        await _refuse(scope, send)
    except Exception:
        with suppress(Exception):
            await send({"type": "http.response.body", "body": b"", "more_body": False})
