"""The ASGI stack: every wrapper around Django and the WebSocket consumer, outermost first."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping, Sequence
from functools import partial, reduce
from typing import Protocol

from django.conf import settings

from factors.alerts.stream import AlertStreamFront
from factors.udf.errors import UdfErrors
from market.api.asgi import Application, Receive, Scope, Send
from market.api.front import Front
from market.costs import cost_budget
from market.live.consumer import serve_watcher
from market.live.debug import serve_debug
from market.wording import load_catalogs
from overlays.api.draw_front import DrawFront
from trade_canvas import metrics
from trade_canvas.edge.addresses import TrustedProxies
from trade_canvas.edge.debug_admission import DebugAdmission
from trade_canvas.edge.drain import DrainGate
from trade_canvas.edge.metrics_endpoint import MetricsPath
from trade_canvas.edge.request_bounds import RequestBounds
from trade_canvas.edge.request_ids import RequestIds
from trade_canvas.edge.request_rate import RequestRate
from trade_canvas.edge.request_threads import RequestThreads
from trade_canvas.edge.script_name import WithoutPrefix, WithPrefix
from trade_canvas.edge.shared_answers import SharedAnswers
from trade_canvas.edge.unread_answers import UnreadAnswers
from trade_canvas.edge.websocket_admission import WebSocketAdmission
from trade_canvas.edge.writer_bodies import WriterBodies

SOCKET_PATH = "/ws/market"
DEBUG_PATH = "/ws/debug"
POLICY_VIOLATION = 1008


class Wrapper(Protocol):
    """Makes an ASGI application out of the one inside it."""

    def __call__(self, application: Application, /) -> Application: ...


def build(django: Application) -> Application:
    """The whole application, with limits as the switches set them.

    A wrapper that would pass on every request is left out: each costs every request a call.
    """
    switches = settings.SWITCHES
    proxies = switches.trusted_proxies
    # Reading a file must not hold the event loop up.
    load_catalogs()
    shared: list[Wrapper] = [
        # Every log line and every response carries the request's id, refusals included.
        RequestIds,
        # Charts that speak UDF read the body of an error only.
        *([UdfErrors] if switches.enable_udf else []),
        # While the process ends, new requests are refused before any work is done for them.
        DrainGate,
    ]
    if proxies:
        # The limits below count by the client's address, not by that of our own proxy.
        shared.append(partial(TrustedProxies, count=proxies))
    if settings.FORCE_SCRIPT_NAME or proxies:
        # Below a prefix, everything here knows the paths without it.
        shared.append(partial(WithoutPrefix, prefix=settings.FORCE_SCRIPT_NAME, proxies=proxies))
    http: list[Wrapper] = [
        # Prometheus is neither limited nor subject to ALLOWED_HOSTS.
        MetricsPath,
    ]
    if switches.api_requests_per_s or cost_budget():
        # A client beyond its rate costs neither a look-up nor a thread.
        http.append(partial(RequestRate, per_s=switches.api_requests_per_s, costs=cost_budget()))
    http += [
        # A body has a size and a time; Django would answer a broken query with HTML.
        RequestBounds,
        # Clients that read slowly do not fill the memory with answers.
        UnreadAnswers,
        # Candle pages, single candles and streams are answered without Django's threads.
        Front,
        # Drawings that are in memory, too.
        DrawFront,
        # And what is the same for everyone.
        SharedAnswers,
    ]
    if switches.enable_alerts:
        # A stream ends at once with its request.
        http.append(AlertStreamFront)
    http += [
        # Django gets a bounded number of threads that keep their database connections.
        partial(RequestThreads, workers=switches.request_workers, queue=switches.request_queue),
        # A stranger's body is not read, whatever its size.
        WriterBodies,
        # Django alone makes addresses, and knows the prefix.
        WithPrefix,
    ]
    websocket: list[Wrapper] = [
        # Foreign pages, and too many connections of one address, are refused before the handshake.
        WebSocketAdmission,
    ]
    debug: list[Wrapper] = [
        *websocket,
        # What a process does is shown to its operators only.
        DebugAdmission,
    ]
    sockets = {SOCKET_PATH: _wrap(websocket, serve_watcher), DEBUG_PATH: _wrap(debug, serve_debug)}
    return _wrap(shared, Router(_wrap(http, django), sockets))


class Router:
    """Sends HTTP to one application, and a WebSocket to that of its path.

    It stands in for Channels' routers, which copy the scope of each connection.
    """

    def __init__(self, http: Application, sockets: Mapping[str, Application]) -> None:
        self._http = http
        self._sockets = sockets

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Pass on, or refuse a WebSocket on another path (the client sees HTTP 403)."""
        if scope["type"] == "http":
            return self._http(scope, receive, send)
        if scope["type"] != "websocket":
            raise ValueError(f"no application for {scope['type']}")
        socket = self._sockets.get(scope["path"])
        return _refuse(receive, send) if socket is None else socket(scope, receive, send)


async def _refuse(receive: Receive, send: Send) -> None:
    metrics.HANDSHAKES_REFUSED.inc(1, "not_found")
    await receive()
    await send({"type": "websocket.close", "code": POLICY_VIOLATION})


def _wrap(wrappers: Sequence[Wrapper], application: Application) -> Application:
    return reduce(lambda inner, wrapper: wrapper(inner), reversed(wrappers), application)
