"""In front of Django: refuses what it would answer with HTML or collect without a bound."""

from __future__ import annotations

import orjson

from market.api.asgi import Application, Message, Receive, Scope, Send, json_headers, respond
from market.api.errors import API_PREFIX, ApiError
from market.api.ingest import MAX_BATCH_BYTES
from market.api.rendering import too_large


class ApiEdge:
    """ASGI middleware: bounds bodies before they are read to disk, and checks the query's text."""

    def __init__(self, application: Application, *, max_body_bytes: int = MAX_BATCH_BYTES) -> None:
        self._application = application
        self._max_body_bytes = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer 400 or 413."""
        if scope["type"] != "http" or not scope["path"].startswith(API_PREFIX):
            await self._application(scope, receive, send)
            return
        try:
            _require_text(scope["query_string"])
            self._require_length(scope)
            await self._application(scope, self._bounded(receive), send)
        except ApiError as error:
            # Django reads the whole body before it answers, so nothing has been sent yet.
            body = orjson.dumps(error.body())
            headers = [*json_headers(body), (b"connection", b"close")]
            await respond(send, error.status, headers, body)

    def _require_length(self, scope: Scope) -> None:
        for name, value in scope["headers"]:
            if name == b"content-length" and value.isdigit() and len(value) < 20:
                self._require(int(value))

    def _require(self, length: int) -> None:
        if length > self._max_body_bytes:
            raise too_large(self._max_body_bytes)

    def _bounded(self, receive: Receive) -> Receive:
        received = 0

        async def bounded() -> Message:
            nonlocal received
            message = await receive()
            if message["type"] == "http.request":
                received += len(message.get("body", b""))
                self._require(received)
            return message

        return bounded


def _require_text(query_string: bytes) -> None:
    try:
        query_string.decode()
    except UnicodeDecodeError:
        raise ApiError(400, "bad_request", "the query is not UTF-8") from None
