"""In front of Django: refuses what it would answer with HTML or collect without a bound."""

from __future__ import annotations

import orjson

from market.api.asgi import Application, Message, Receive, Scope, Send, json_headers, respond
from market.api.errors import API_PREFIX, ApiError
from market.api.ingest import MAX_BATCH_BYTES
from market.api.rendering import MAX_BODY_BYTES, too_large


class ApiEdge:
    """ASGI middleware: bounds bodies before they are read to disk, and checks the query's text."""

    def __init__(self, application: Application, *, max_body_bytes: int = MAX_BATCH_BYTES) -> None:
        self._application = application
        self._max_body_bytes = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer 400 or 413."""
        if scope["type"] != "http":
            await self._application(scope, receive, send)
            return
        try:
            bound = self._bound_of(scope["path"])
            if scope["path"].startswith(API_PREFIX):
                _require_text(scope["query_string"])
            _require_length(scope, bound)
            body = _BoundedBody(receive, bound)
            await self._application(scope, body.receive, send)
            if body.is_too_large:
                raise too_large(bound)
        except ApiError as error:
            content = orjson.dumps(error.body())
            headers = [*json_headers(content), (b"connection", b"close")]
            await respond(send, error.status, headers, content)

    def _bound_of(self, path: str) -> int:
        """The API's largest body, or what a form of the admin may have."""
        return self._max_body_bytes if path.startswith(API_PREFIX) else MAX_BODY_BYTES


class _BoundedBody:
    """Passes a body on up to a bound; beyond it, the application sees its client go away."""

    def __init__(self, receive: Receive, bound: int) -> None:
        self._receive = receive
        self._left = bound
        self.is_too_large = False

    async def receive(self) -> Message:
        """The next message."""
        message = await self._receive()
        if message["type"] == "http.request":
            self._left -= len(message.get("body", b""))
            if self._left < 0:
                # Django frees what it collected and answers nothing, so we can.
                self.is_too_large = True
                return {"type": "http.disconnect"}
        return message


def _require_length(scope: Scope, bound: int) -> None:
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit() and int(value[:20]) > bound:
            raise too_large(bound)


def _require_text(query_string: bytes) -> None:
    try:
        query_string.decode()
    except UnicodeDecodeError:
        raise ApiError(400, "bad_request", "the query is not UTF-8") from None
