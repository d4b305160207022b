"""Refuses requests that Django would answer with HTML, or would collect without a limit."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

from django.utils.translation import gettext_lazy as _

from market.api.asgi import Application, Message, Receive, Scope, Send
from market.api.error_codes import ErrorCode
from market.api.errors import API_PREFIXES, ApiError
from market.api.ingest import MAX_BATCH_BYTES
from market.api.rendering import MAX_BODY_BYTES, too_large

# For a whole body, while somebody waits for it: 8 MB over 2 Mbit/s take 32 s.
BODY_TIMEOUT_S = 60.0

OF_A_BODY = frozenset({b"content-length", b"transfer-encoding"})


class RequestBounds:
    """ASGI middleware: limits the size and the time of bodies, and checks the query."""

    def __init__(
        self,
        application: Application,
        *,
        max_body_bytes: int = MAX_BATCH_BYTES,
        body_timeout_s: float = BODY_TIMEOUT_S,
    ) -> None:
        self._application = application
        self._max_body_bytes = max_body_bytes
        self._body_timeout_s = body_timeout_s

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Pass the request on, or answer 400, 408 or 413."""
        if scope["method"] == "GET" and scope["query_string"].isascii() and not _has_body(scope):
            return self._application(scope, receive, send)
        return self._bounded(scope, receive, send)

    async def _bounded(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_api = scope["path"].startswith(API_PREFIXES)
        limit = self._max_body_bytes if is_api else MAX_BODY_BYTES
        try:
            if is_api:
                _require_utf8(scope["query_string"])
            _require_length(scope, limit)
            body = _BoundedBody(receive, limit, self._body_timeout_s)
            await self._application(scope, body.receive, send)
            if body.refused is not None:
                raise body.refused
        except ApiError as error:
            # The server discards the rest of the body for a while, or the client, which is still
            # sending, would lose the answer.
            close = ((b"connection", b"close"),) if error.status == 408 else ()
            await error.send(scope, send, *close)


class _BoundedBody:
    """Passes a body on up to a size and a time; then the application sees its client disconnect.

    Django frees what it collected and sends no response, so ours can follow.
    """

    def __init__(self, receive: Receive, limit: int, timeout_s: float) -> None:
        self._receive = receive
        self._limit = self._left = limit
        self._timeout_s = timeout_s
        self._is_whole = False
        self.refused: ApiError | None = None

    async def receive(self) -> Message:
        """The next message."""
        if self._is_whole:
            return await self._receive()
        began_at = asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout(self._timeout_s):
                message = await self._receive()
        except TimeoutError:
            self.refused = ApiError(408, ErrorCode.BODY_TOO_SLOW, _("the body takes too long"))
            return {"type": "http.disconnect"}
        # Only waiting for the client counts.
        self._timeout_s -= asyncio.get_running_loop().time() - began_at
        if message["type"] == "http.request":
            self._is_whole = not message.get("more_body", False)
            self._left -= len(message.get("body", b""))
            if self._left < 0:
                self.refused = too_large(self._limit)
                return {"type": "http.disconnect"}
        return message


def _has_body(scope: Scope) -> bool:
    # Every read passes here, and a loop in Python would cost several times as much.
    return not OF_A_BODY.isdisjoint(dict(scope["headers"]))


def _require_length(scope: Scope, limit: int) -> None:
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit() and int(value[:20]) > limit:
            raise too_large(limit)


def _require_utf8(query_string: bytes) -> None:
    try:
        query_string.decode()
    except UnicodeDecodeError:
        raise ApiError(400, ErrorCode.BAD_REQUEST, _("the query is not UTF-8")) from None
