"""Request ids: taken from X-Request-ID or generated; logged, returned, and passed on to tasks."""

from __future__ import annotations

import random
import re
from collections.abc import Awaitable
from typing import Any

from celery import signals

from market.api.asgi import Application, Message, Receive, Scope, Send
from market.log_context import REQUEST_ID

HEADER = b"x-request-id"
TASK_HEADER = "request_id"

# Other characters would let a client write anything into the log.
VALID = re.compile(rb"[A-Za-z0-9._:-]{1,64}")


class RequestIds:
    """ASGI middleware that adds the id to HTTP responses.

    The consumer adds it to a WebSocket's handshake: it writes to the server's own connection, so
    `send` must be passed on as it is.
    """

    def __init__(self, application: Application) -> None:
        self._application = application

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, with the id set for log lines and tasks."""
        request_id = _given(scope) or f"{random.getrandbits(64):016x}"
        value = request_id.encode()

        def send_with_id(message: Message) -> Awaitable[None]:
            if message["type"] == "http.response.start":
                # A new list: cached responses share theirs.
                message = {**message, "headers": [*message["headers"], (HEADER, value)]}
            return send(message)

        token = REQUEST_ID.set(request_id)
        try:
            is_http = scope["type"] == "http"
            await self._application(scope, receive, send_with_id if is_http else send)
        finally:
            REQUEST_ID.reset(token)


def _given(scope: Scope) -> str:
    for name, value in scope.get("headers", ()):
        if name == HEADER and VALID.fullmatch(value):
            return str(value.decode())
    return ""


@signals.before_task_publish.connect
def attach_id(headers: dict[str, Any] | None = None, **_: object) -> None:
    """Put the id of the current request into a task's headers."""
    if headers is not None and REQUEST_ID.get():
        headers[TASK_HEADER] = REQUEST_ID.get()


@signals.task_prerun.connect
def adopt_id(task_id: str, task: Any, **_: object) -> None:
    """Log a task under the id of the request that asked for it, or else under its own."""
    headers = task.request.headers or {}
    REQUEST_ID.set(str(headers.get(TASK_HEADER) or task_id))


@signals.task_postrun.connect
def clear_id(**_: object) -> None:
    """Forget the id once the task is over."""
    REQUEST_ID.set("")
