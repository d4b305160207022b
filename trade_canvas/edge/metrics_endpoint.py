"""`/metrics` for Prometheus: in front of Django in a web process, on a port of its own in a worker.

It bypasses Django, because Prometheus may address an instance by a name that is not in
ALLOWED_HOSTS.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import threading
from collections.abc import Awaitable
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

import uvicorn
from django.conf import settings
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from market.api.asgi import Application, HeaderList, Receive, Scope, Send, respond
from market.api.callers import PROXY_HEADERS
from market.installation.metrics import INSTALLATION
from market.metrics_registry import REGISTRY

log = logging.getLogger(__name__)

PATH = "/metrics"
SCHEME = "bearer "
STOP_TIMEOUT_S = 5.0
MAX_CONNECTIONS = 8

# A web process also exposes the state of the installation; a worker only itself.
WEB = (REGISTRY, INSTALLATION)
WORKER = (REGISTRY,)


class MetricsPath:
    """ASGI middleware that answers GET /metrics while CAPACITY_METRICS is on."""

    def __init__(
        self, application: Application, *, registries: tuple[CollectorRegistry, ...] = WEB
    ) -> None:
        self._application = application
        self._registries = registries

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Answer, refuse, or pass on."""
        is_ours = scope["type"] == "http" and scope["path"] == PATH
        if is_ours and settings.SWITCHES.enable_capacity_metrics:
            return self._answer(scope, send)
        return self._application(scope, receive, send)

    async def _answer(self, scope: Scope, send: Send) -> None:
        if scope["method"] != "GET":
            await respond(send, 405, _plain(b""))
        elif not may_read(scope):
            await respond(send, 401, [*_plain(b""), (b"www-authenticate", b"Bearer")])
        else:
            # In a thread: rendering a thousand lines on the event loop would delay every watcher.
            body = await asyncio.to_thread(self._render)
            kind = CONTENT_TYPE_PLAIN_0_0_4.encode()
            await respond(send, 200, [*_plain(body)[1:], (b"content-type", kind)], body)

    def _render(self) -> bytes:
        return b"".join(generate_latest(each) for each in self._registries)


async def not_found(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer every other path on a worker's metrics port."""
    await respond(send, 404, _plain(b""))


def may_read(scope: Scope) -> bool:
    """Whether a request has the token, or comes directly from one of METRICS_NETWORKS."""
    headers = dict(scope["headers"])
    token = settings.SWITCHES.metrics_token
    given = headers.get(b"authorization", b"").decode("latin-1")
    if token and given[: len(SCHEME)].lower() == SCHEME:
        return hmac.compare_digest(given[len(SCHEME) :].strip().encode(), token.encode())
    return is_direct_from_metrics_network(scope)


def is_direct_from_metrics_network(scope: Scope) -> bool:
    """Whether a request comes directly from one of METRICS_NETWORKS."""
    # Behind a proxy the peer's address is the proxy's.
    names = (name for name, _ in scope["headers"])
    return PROXY_HEADERS.isdisjoint(names) and _is_allowed((scope.get("client") or ("",))[0])


def _is_allowed(address: str) -> bool:
    try:
        known = ip_address(address)
    except ValueError:
        return False
    return any(known in network for network in _networks(settings.SWITCHES.metrics_networks))


@lru_cache(maxsize=8)
def _networks(text: str) -> list[IPv4Network | IPv6Network]:
    found = []
    for each in filter(None, (part.strip() for part in text.split(","))):
        try:
            found.append(ip_network(each, strict=False))
        except ValueError:
            log.error("METRICS_NETWORKS: %r is not a network", each)
    return found


def _plain(body: bytes) -> HeaderList:
    return [(b"content-type", b"text/plain"), (b"content-length", str(len(body)).encode())]


class MetricsServer:
    """Serves a worker's own metrics from a thread."""

    def __init__(self, host: str, port: int) -> None:
        config = uvicorn.Config(
            MetricsPath(not_found, registries=WORKER),
            host=host,
            port=port,
            # Not guessed: uvicorn takes a call that is no coroutine function for an older protocol.
            interface="asgi3",
            ws="none",
            lifespan="off",
            access_log=False,
            server_header=False,
            log_config=None,
            limit_concurrency=MAX_CONNECTIONS,
            timeout_graceful_shutdown=1,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._run, name="metrics", daemon=True)

    def start(self) -> None:
        """Start listening."""
        self._thread.start()

    def stop(self) -> None:
        """Stop, and wait for the thread to end."""
        self._server.should_exit = True
        self._thread.join(STOP_TIMEOUT_S)

    def _run(self) -> None:
        try:
            self._server.run()
        except SystemExit:
            # uvicorn could not listen, and has logged why.
            log.error("metrics are not served: the port is not available")
