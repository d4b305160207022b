"""Admission to WebSockets: allowed origins, and a limit of connections per address.

A connection is refused before the handshake, so a refusal costs next to nothing: HTTP 403 or 429
with a code where the server supports that, a bare 403 elsewhere.
"""

from __future__ import annotations

from collections import Counter

import orjson
from django.conf import settings

from market.api.asgi import Application, HeaderList, Receive, Scope, Send, json_headers
from market.api.callers import is_allowed_origin
from market.api.error_codes import ErrorCode
from market.networks import network_of
from trade_canvas import metrics
from trade_canvas.edge.addresses import peer_of

POLICY_VIOLATION = 1008
RETRY_AFTER_S = 30
HTTP_RESPONSE = "websocket.http.response"


class WebSocketAdmission:
    """ASGI middleware for a WebSocket application.

    One wrapper for both checks: its frame stays in memory for as long as the connection lasts.
    """

    def __init__(self, application: Application) -> None:
        self._application = application
        self.connections: Counter[str] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Admit a connection and count it while it lasts, or refuse it."""
        if not has_allowed_origin(scope):
            await refuse(scope, receive, send, status=403, code=ErrorCode.ORIGIN_NOT_ALLOWED)
            return
        limit = settings.SWITCHES.ws_max_connections_per_address
        if not limit:
            await self._application(scope, receive, send)
            return
        network = network_of(peer_of(scope))
        if self.connections[network] >= limit:
            await refuse(scope, receive, send, status=429, code=ErrorCode.TOO_MANY_CONNECTIONS)
            return
        self.connections[network] += 1
        try:
            await self._application(scope, receive, send)
        finally:
            self.connections[network] -= 1
            if not self.connections[network]:
                del self.connections[network]


def has_allowed_origin(scope: Scope) -> bool:
    """Whether the connection comes from an allowed page, or from a program.

    A program without an Origin is admitted: it could send any, and reading needs no credentials.
    """
    if settings.SWITCHES.enable_ws_any_origin:
        return True
    headers = dict(scope["headers"])
    origin = headers.get(b"origin")
    if origin is None:
        return True
    host = headers.get(b"host", b"").decode("latin-1")
    return is_allowed_origin(origin.decode("latin-1"), host)


async def refuse(
    scope: Scope, receive: Receive, send: Send, *, status: int, code: ErrorCode
) -> None:
    """Refuse a handshake: with an answer where the server can send one, else with a bare 403."""
    metrics.HANDSHAKES_REFUSED.inc(1, code)
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
