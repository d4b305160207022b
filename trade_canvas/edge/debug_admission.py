"""Admission to `/ws/debug`: the debug switch and a session of the admin, before the handshake."""

from __future__ import annotations

from functools import partial

from django.conf import settings

from market.api.asgi import Application, Receive, Scope, Send
from market.api.callers import is_allowed_origin
from market.api.error_codes import ErrorCode
from market.api.writes import is_unguarded, session_is_admins
from market.live.debug import IS_ADMITTED
from trade_canvas.edge.addresses import peer_of
from trade_canvas.edge.websocket_admission import refuse


class DebugAdmission:
    """ASGI middleware for the application of `/ws/debug`."""

    def __init__(self, application: Application) -> None:
        self._application = application

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Admit a connection or refuse it."""
        if not settings.SWITCHES.enable_debug_api:
            await refuse(scope, receive, send, status=403, code=ErrorCode.DEBUG_API_DISABLED)
        elif not has_own_origin(scope):
            await refuse(scope, receive, send, status=403, code=ErrorCode.ORIGIN_NOT_ALLOWED)
        elif not await is_admitted(scope):
            await refuse(scope, receive, send, status=403, code=ErrorCode.NOT_AUTHENTICATED)
        else:
            scope[IS_ADMITTED] = partial(is_admitted, scope)
            await self._application(scope, receive, send)


def has_own_origin(scope: Scope) -> bool:
    """Whether the page that connects is ours, wherever charts may be embedded.

    Its cookies are the credentials here.
    """
    headers = dict(scope["headers"])
    origin = headers.get(b"origin")
    host = headers.get(b"host", b"").decode("latin-1")
    return origin is None or is_allowed_origin(origin.decode("latin-1"), host)


async def is_admitted(scope: Scope) -> bool:
    """Whether a connection has an admin's session, or comes to a development server by loopback."""
    given = dict(scope["headers"])
    return is_unguarded(peer_of(scope), headers=given) or await session_is_admins(scope)
