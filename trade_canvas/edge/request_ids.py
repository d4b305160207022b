"""Request ids: taken from X-Request-ID or made; logged, answered, and handed on to tasks."""

from __future__ import annotations

import re
import secrets
from typing import Any

from celery import signals

from market.api.asgi import Application, Message, Receive, Scope, Send
from market.log_context import REQUEST_ID

HEADER = b"x-request-id"
TASK_HEADER = "request_id"

# Others would let a stranger write what they like into the log.
GOOD = re.compile(rb"[A-Za-z0-9._:-]{1,64}")


class RequestIds:
    """ASGI middleware around everything.

    The answer to a WebSocket's handshake is the consumer's to give: it writes to the server's own
    connection, so nothing may stand in between.
    """

    def __init__(self, application: Application) -> None:
        self._application = application

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, under the request's id."""
        request_id = _given(scope) or secrets.token_hex(8)
        value = request_id.encode()

        async def tell(message: Message) -> None:
            if message["type"] == "http.response.start":
                # A new list: answers from the cache share theirs.
                message = {**message, "headers": [*message["headers"], (HEADER, value)]}
            await send(message)

        token = REQUEST_ID.set(request_id)
        try:
            await self._application(scope, receive, tell if scope["type"] == "http" else send)
        finally:
            REQUEST_ID.reset(token)


def _given(scope: Scope) -> str:
    for name, value in scope.get("headers", ()):
        if name == HEADER and GOOD.fullmatch(value):
            return str(value.decode())
    return ""


@signals.before_task_publish.connect
def _hand_over(headers: dict[str, Any] | None = None, **_: object) -> None:
    if headers is not None and REQUEST_ID.get():
        headers[TASK_HEADER] = REQUEST_ID.get()


@signals.task_prerun.connect
def _take_over(task_id: str, task: Any, **_: object) -> None:
    # Whatever a task logs can be found by its own id, or by the request's that asked for it.
    headers = task.request.headers or {}
    REQUEST_ID.set(str(headers.get(TASK_HEADER) or task_id))


@signals.task_postrun.connect
def _give_back(**_: object) -> None:
    REQUEST_ID.set("")
