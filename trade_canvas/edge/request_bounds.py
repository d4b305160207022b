"""Refuses requests that Django would answer with HTML, or would collect without a limit."""

from __future__ import annotations

from market.api.asgi import Application, Message, Receive, Scope, Send, respond_json
from market.api.errors import API_PREFIX, ApiError
from market.api.ingest import MAX_BATCH_BYTES
from market.api.rendering import MAX_BODY_BYTES, too_large


class RequestBounds:
    """ASGI middleware: limits bodies before they are written to disk, and checks the query."""

    def __init__(self, application: Application, *, max_body_bytes: int = MAX_BATCH_BYTES) -> None:
        self._application = application
        self._max_body_bytes = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer 400 or 413."""
        is_api = scope["path"].startswith(API_PREFIX)
        limit = self._max_body_bytes if is_api else MAX_BODY_BYTES
        try:
            if is_api:
                _require_utf8(scope["query_string"])
            _require_length(scope, limit)
            body = _BoundedBody(receive, limit)
            await self._application(scope, body.receive, send)
            if body.is_too_large:
                raise too_large(limit)
        except ApiError as error:
            await respond_json(send, error.status, error.body(), (b"connection", b"close"))


class _BoundedBody:
    """Passes a body on up to a limit; beyond it, the application sees its client disconnect."""

    def __init__(self, receive: Receive, limit: int) -> None:
        self._receive = receive
        self._left = limit
        self.is_too_large = False

    async def receive(self) -> Message:
        """The next message."""
        message = await self._receive()
        if message["type"] == "http.request":
            self._left -= len(message.get("body", b""))
            if self._left < 0:
                # Django frees what it collected and sends no response, so ours can follow.
                self.is_too_large = True
                return {"type": "http.disconnect"}
        return message


def _require_length(scope: Scope, limit: int) -> None:
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit() and int(value[:20]) > limit:
            raise too_large(limit)


def _require_utf8(query_string: bytes) -> None:
    try:
        query_string.decode()
    except UnicodeDecodeError:
        raise ApiError(400, "bad_request", "the query is not UTF-8") from None
