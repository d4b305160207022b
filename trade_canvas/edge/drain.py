"""Draining this web process before it ends: first not ready, then closed to new requests.

A load balancer sees from /readyz that the process is leaving while it still serves everything; only
then are requests refused. A refused or interrupted request gets a code, so that the client can try
another process.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from enum import IntEnum

from market.api.asgi import Application, Receive, Scope, Send, respond_json
from market.api.error_codes import ErrorCode

SHUTTING_DOWN = {"detail": ErrorCode.SERVER_SHUTTING_DOWN, "code": ErrorCode.SERVER_SHUTTING_DOWN}
EVENT_STREAM = b"text/event-stream"
LOOK_S = 0.05


class Step(IntEnum):
    """How far the drain has come."""

    SERVING = 0
    NOT_READY = 1
    """/readyz fails; every request is served."""
    CLOSED = 2
    """New requests are refused."""


class Drain:
    """The step that the drain is at, and the requests in flight. Used from the event loop."""

    def __init__(self) -> None:
        self.step = Step.SERVING
        self.in_flight: dict[asyncio.Task[object], Scope] = {}

    def is_closed(self) -> bool:
        """Whether new requests are refused."""
        return self.step is Step.CLOSED

    @property
    def requests(self) -> int:
        """HTTP requests in flight."""
        return sum(scope["type"] == "http" for scope in self.in_flight.values())

    def begin(self) -> None:
        """Make /readyz fail, and serve on."""
        self.step = max(self.step, Step.NOT_READY)

    def close(self) -> None:
        """Refuse new requests and cancel event streams, which would never end by themselves."""
        self.step = Step.CLOSED
        self._cancel(streams_only=True)

    async def finish_requests(self, timeout_s: float) -> None:
        """Wait until no HTTP request is in flight; cancel what is left after `timeout_s`."""
        for _ in range(round(timeout_s / LOOK_S)):
            if not self.requests:
                return
            await asyncio.sleep(LOOK_S)
        self._cancel(streams_only=False)

    def _cancel(self, *, streams_only: bool) -> None:
        for task, scope in list(self.in_flight.items()):
            if scope["type"] == "http" and (not streams_only or _is_stream(scope)):
                task.cancel()


# This process's drain: the server moves it on, and /readyz shows it.
DRAIN = Drain()


class DrainGate:
    """ASGI middleware that records requests in flight, and refuses new ones once closed."""

    def __init__(self, application: Application, *, drain: Drain = DRAIN) -> None:
        self._application = application
        self._drain = drain

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, unless the process is closed."""
        drain, task = self._drain, asyncio.current_task()
        assert task is not None
        if drain.is_closed():
            await _refuse(scope, send)
            return
        drain.in_flight[task] = scope
        try:
            await self._application(scope, receive, send)
        except asyncio.CancelledError:
            if not drain.is_closed() or scope["type"] != "http":
                raise
            # The server rejects a second start, so a response that has begun is only ended.
            try:
                await _refuse(scope, send)
            except Exception:
                with suppress(Exception):
                    await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            del drain.in_flight[task]


def _is_stream(scope: Scope) -> bool:
    return any(name == b"accept" and EVENT_STREAM in value for name, value in scope["headers"])


async def _refuse(scope: Scope, send: Send) -> None:
    if scope["type"] == "http":
        await respond_json(send, 503, SHUTTING_DOWN, (b"connection", b"close"))
    else:
        await send({"type": "websocket.close", "code": 1001, "reason": "server_shutdown"})
