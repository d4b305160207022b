"""The ASGI application: HTTP to Django, ``/ws/market`` to the market's consumer."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from typing import Any

from channels.routing import ProtocolTypeRouter, URLRouter
from django.core.asgi import get_asgi_application

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "trade_canvas.settings")
django_application = get_asgi_application()

from django.urls import path, re_path  # noqa: E402  (apps must be loaded first)

from market.api.front import in_front_of  # noqa: E402
from market.live.consumer import MarketConsumer  # noqa: E402


async def refuse(scope: Scope, receive: Receive, send: Send) -> None:
    """Turn away a WebSocket on any other path (the client sees HTTP 403)."""
    await receive()
    await send({"type": "websocket.close", "code": 1008})


application = ProtocolTypeRouter(
    {
        "http": in_front_of(django_application),
        "websocket": URLRouter(
            [path("ws/market", MarketConsumer.as_asgi()), re_path(r"", refuse)],
        ),
    }
)
