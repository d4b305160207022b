"""In front of `/ws/market`: which pages may connect, and how often one address may at a time.

Refused before the handshake, so that it costs next to nothing: HTTP 403 or 429 with a code, where
the server can send that, and a bare 403 elsewhere.
"""

from __future__ import annotations

from collections import Counter

import orjson
from django.conf import settings

from market.addresses import network_of, peer_of
from market.api.asgi import Application, HeaderList, Receive, Scope, Send, json_headers
from market.origins import is_allowed_origin

POLICY_VIOLATION = 1008
RETRY_AFTER_S = 30
HTTP_RESPONSE = "websocket.http.response"


class Door:
    """ASGI middleware for a WebSocket application."""

    def __init__(self, application: Application) -> None:
        self._application = application
        # Bounded by the connections that are open.
        self._open: Counter[str] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a connection in and count it for as long as it lasts, or refuse it."""
        if not is_from_allowed_page(scope):
            await _refuse(scope, receive, send, status=403, code="origin_not_allowed")
            return
        most = settings.SWITCHES.ws_max_connections_per_address
        if not most:
            await self._application(scope, receive, send)
            return
        network = network_of(peer_of(scope))
        if self._open[network] >= most:
            await _refuse(scope, receive, send, status=429, code="too_many_connections")
            return
        self._open[network] += 1
        try:
            await self._application(scope, receive, send)
        finally:
            self._open[network] -= 1
            if not self._open[network]:
                del self._open[network]


def is_from_allowed_page(scope: Scope) -> bool:
    """Whether no browser sent this, or one on a page that may.

    A program without an Origin is let in: it could send any, and reading needs no credentials.
    """
    if settings.SWITCHES.enable_ws_any_origin:
        return True
    headers = dict(scope["headers"])
    origin = headers.get(b"origin")
    if origin is None:
        return True
    host = headers.get(b"host", b"").decode("latin-1")
    return is_allowed_origin(origin.decode("latin-1"), host)


async def _refuse(scope: Scope, receive: Receive, send: Send, *, status: int, code: str) -> None:
    await receive()
    if HTTP_RESPONSE not in scope.get("extensions", {}):
        await send({"type": "websocket.close", "code": POLICY_VIOLATION, "reason": code})
        return
    body = orjson.dumps({"detail": code, "code": code})
    headers: HeaderList = json_headers(body)
    if status == 429:
        headers.append((b"retry-after", str(RETRY_AFTER_S).encode()))
    await send({"type": f"{HTTP_RESPONSE}.start", "status": status, "headers": headers})
    await send({"type": f"{HTTP_RESPONSE}.body", "body": body})
