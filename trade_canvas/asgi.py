"""The ASGI application: HTTP to Django, ``/ws/market`` to the market's consumer."""

from __future__ import annotations

import os
from typing import Any, cast

from channels.routing import ProtocolTypeRouter, URLRouter
from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "trade_canvas.settings")
django_application = get_asgi_application()

from django.conf import settings  # noqa: E402  (apps must be loaded first)
from django.urls import path, re_path  # noqa: E402

from market.addresses import TrustedProxies  # noqa: E402
from market.api.asgi import Application, Receive, Scope, Send  # noqa: E402
from market.api.front import in_front_of  # noqa: E402
from market.live.consumer import MarketConsumer  # noqa: E402
from trade_canvas.edge.door import Door  # noqa: E402
from trade_canvas.edge.drain import EndingGuard  # noqa: E402
from trade_canvas.edge.metrics_endpoint import MetricsPath  # noqa: E402
from trade_canvas.edge.read_limit import ReadLimit  # noqa: E402
from trade_canvas.edge.request_bounds import ApiEdge  # noqa: E402
from trade_canvas.edge.request_ids import RequestIds  # noqa: E402
from trade_canvas.edge.request_threads import RequestThreads  # noqa: E402


async def refuse(scope: Scope, receive: Receive, send: Send) -> None:
    """Turn away a WebSocket on any other path (the client sees HTTP 403)."""
    await receive()
    await send({"type": "websocket.close", "code": 1008})


# Channels routes ASGI applications with Django's functions, whose types know only views.
follow: Any = MarketConsumer.as_asgi()
nowhere: Any = refuse

views = RequestThreads(
    cast(Application, django_application),
    workers=settings.SWITCHES.request_workers,
    queue=settings.SWITCHES.request_queue,
)
routes: Any = ProtocolTypeRouter(
    {
        "http": MetricsPath(ReadLimit(in_front_of(ApiEdge(views)))),
        "websocket": Door(URLRouter([path("ws/market", follow), re_path(r"", nowhere)])),
    }
)
application = RequestIds(
    EndingGuard(TrustedProxies(routes, count=settings.SWITCHES.trusted_proxies))
)
