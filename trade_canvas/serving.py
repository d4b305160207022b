"""The web process: uvicorn or Daphne around the application, with an orderly start and end.

The end comes in steps (trade_canvas.edge.drain): /readyz fails while everything is still served,
for as long as a load balancer needs to notice; then no new work starts, watchers are closed with
1001 so that they reconnect elsewhere, and running requests get a few seconds to finish.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from socket import socket
from typing import Any

import uvicorn
from daphne.server import Server as DaphneServer
from daphne.server import reactor
from django.conf import settings

from market.ingest import supervisor
from market.live import current
from trade_canvas import members
from trade_canvas.edge.bounded_server import BoundedHttp, BoundedWebSocket
from trade_canvas.edge.drain import ENDING

APPLICATION = "trade_canvas.asgi:application"
BACKLOG = 4096
PING_INTERVAL_S = 20
GRACE_S = 5
# Of that, how long requests that are under way may take to finish.
FINISH_S = 3.0
LOOK_S = 0.05


@dataclass(frozen=True, slots=True)
class Address:
    """Where to listen."""

    host: str
    port: int


async def begin() -> None:
    """Start what lives in the web process beside serving."""
    members.begin_web()
    if settings.SWITCHES.ingest_in_process:
        await supervisor.start_in_process()


async def leave(is_urgent: Callable[[], bool]) -> None:
    """Be unready, and serve on until load balancers have noticed (or somebody is in a hurry)."""
    ENDING.leave()
    for _ in range(round(settings.SWITCHES.shutdown_delay_s / LOOK_S)):
        if is_urgent():
            return
        await asyncio.sleep(LOOK_S)


async def end() -> None:
    """Begin nothing new, send watchers elsewhere, let requests finish, stop what `begin` began."""
    ENDING.close()
    await current.shut_down()
    await _finish_requests()
    if settings.SWITCHES.ingest_in_process:
        await supervisor.stop_in_process()
    await asyncio.to_thread(members.end)


async def _finish_requests() -> None:
    for _ in range(round(FINISH_S / LOOK_S)):
        if not ENDING.requests:
            return
        await asyncio.sleep(LOOK_S)
    ENDING.break_off()


def serve_with_uvicorn(address: Address) -> bool:
    """Serve until SIGINT or SIGTERM; tell whether serving ever began."""
    config = uvicorn.Config(
        APPLICATION,
        host=address.host,
        port=address.port,
        loop="uvloop",
        http=BoundedHttp,
        ws=BoundedWebSocket,
        # market.addresses knows how many proxies there are; this would believe any on loopback.
        proxy_headers=False,
        ws_per_message_deflate=False,
        # Larger than what the protocol takes: its own answer to a large message tells more.
        ws_max_size=_largest_frame(),
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
    """uvicorn that ends our parts first, and ends with status 0 after a signal."""

    async def startup(self, sockets: list[socket] | None = None) -> None:
        """Start our parts, then listen."""
        await begin()
        await super().startup(sockets)

    async def shutdown(self, sockets: list[socket] | None = None) -> None:
        """Leave, stop listening, send watchers elsewhere, then wait for what is left."""
        await leave(lambda: self.force_exit)
        for server in self.servers:
            server.close()
        await end()
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


def serve_with_daphne(address: Address, application: Any) -> bool:
    """Serve until SIGINT or SIGTERM; tell whether serving ever began."""
    host = address.host.replace(":", r"\:")
    server = DaphneServer(
        application,
        endpoints=[f"tcp:port={address.port}:interface={host}:backlog={BACKLOG}"],
        signal_handlers=False,
        ping_interval=PING_INTERVAL_S,
        websocket_timeout=-1,
        websocket_max_message_size=_largest_frame(),
        websocket_max_frame_size=_largest_frame(),
        application_close_timeout=GRACE_S,
    )
    DaphneEnd(server)
    server.run()
    return bool(server.listening_addresses)


class DaphneEnd:
    """Starts our parts with Daphne's loop, and ends them before it at the first signal."""

    def __init__(self, server: DaphneServer) -> None:
        self._server = server
        self._loop = reactor._asyncioEventloop
        self._ending: asyncio.Task[None] | None = None
        for number in (signal.SIGINT, signal.SIGTERM):
            self._loop.add_signal_handler(number, self._start_ending)
        reactor.callWhenRunning(self._start)

    def _start(self) -> None:
        self._starting = self._loop.create_task(begin())

    def _start_ending(self) -> None:
        if self._ending is None:
            self._ending = self._loop.create_task(self._end())

    async def _end(self) -> None:
        try:
            await leave(lambda: False)
            async with asyncio.timeout(GRACE_S):
                await end()
        finally:
            self._server.stop()


def _largest_frame() -> int:
    return 4 * int(settings.SWITCHES.ws_max_message_bytes)
