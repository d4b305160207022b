"""The web process: uvicorn around the application, with an orderly start and end.

At the end /readyz fails while everything is still served, for as long as a load balancer needs to
notice (trade_canvas.edge.drain); then new requests are refused, watchers are closed with 1001 so
that they reconnect elsewhere, and requests in flight get a few seconds to finish.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from socket import socket

import uvicorn
from django.conf import settings

from market.ingest import supervisor
from market.live import current
from trade_canvas import background
from trade_canvas.edge.bounded_protocols import BoundedHttp, BoundedWebSocket
from trade_canvas.edge.drain import DRAIN, LOOK_S

APPLICATION = "trade_canvas.asgi:application"
BACKLOG = 4096
PING_INTERVAL_S = 20
GRACE_S = 5
# The part of GRACE_S that requests in flight get to finish.
FINISH_S = 3.0


@dataclass(frozen=True, slots=True)
class Address:
    """Where to listen."""

    host: str
    port: int


async def start_parts() -> None:
    """Start what runs in the web process besides the server."""
    background.start_web()
    if settings.SWITCHES.ingest_in_process:
        await supervisor.start_in_process()


async def wait_for_load_balancers(is_urgent: Callable[[], bool]) -> None:
    """Fail /readyz and serve on for SHUTDOWN_DELAY_S, or until `is_urgent`."""
    DRAIN.begin()
    for _ in range(round(settings.SWITCHES.shutdown_delay_s / LOOK_S)):
        if is_urgent():
            return
        await asyncio.sleep(LOOK_S)


async def stop_parts() -> None:
    """Refuse new requests, close watchers, let requests finish, stop what `start_parts` started."""
    DRAIN.close()
    await current.shut_down()
    await DRAIN.finish_requests(FINISH_S)
    if settings.SWITCHES.ingest_in_process:
        await supervisor.stop_in_process()
    await asyncio.to_thread(background.stop)


def serve_with_uvicorn(address: Address) -> bool:
    """Serve until SIGINT or SIGTERM; return whether the server ever listened."""
    config = uvicorn.Config(
        APPLICATION,
        host=address.host,
        port=address.port,
        loop="uvloop",
        # Not guessed: uvicorn takes a call that is no coroutine function for an older protocol.
        interface="asgi3",
        http=BoundedHttp,
        ws=BoundedWebSocket,
        # TrustedProxies knows how many proxies there are; this would trust any on loopback.
        proxy_headers=False,
        ws_per_message_deflate=False,
        # Larger than what the protocol takes: the consumer's own answer to a large message has a
        # reason.
        ws_max_size=max_frame_bytes(),
        ws_ping_interval=PING_INTERVAL_S,
        ws_ping_timeout=PING_INTERVAL_S,
        lifespan="off",
        backlog=BACKLOG,
        access_log=False,
        server_header=False,
        log_config=None,
        timeout_graceful_shutdown=GRACE_S,
    )
    server = UvicornServer(config)
    server.run()
    return server.started


class UvicornServer(uvicorn.Server):
    """uvicorn that stops our parts first, and exits with status 0 after a signal."""

    async def startup(self, sockets: list[socket] | None = None) -> None:
        """Start our parts, then listen."""
        await start_parts()
        await super().startup(sockets)

    async def shutdown(self, sockets: list[socket] | None = None) -> None:
        """Drain, stop listening, stop our parts, then wait for what is left."""
        await wait_for_load_balancers(lambda: self.force_exit)
        for server in self.servers:
            server.close()
        await stop_parts()
        await super().shutdown(sockets)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Handle signals without raising them again at the end, as uvicorn's own would."""
        numbers = (signal.SIGINT, signal.SIGTERM)
        before = {number: signal.signal(number, self.handle_exit) for number in numbers}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def max_frame_bytes() -> int:
    """The largest WebSocket message that a server takes."""
    return 4 * int(settings.SWITCHES.ws_max_message_bytes)
