"""Daphne around the application.

Only processes that Daphne serves import this: Twisted would lengthen the start of all others.
"""

from __future__ import annotations

import asyncio
import signal
from typing import Any

from daphne.server import Server as DaphneServer
from daphne.server import reactor

from trade_canvas.edge.serving import (
    BACKLOG,
    GRACE_S,
    PING_INTERVAL_S,
    Address,
    max_frame_bytes,
    start_parts,
    stop_parts,
    wait_for_load_balancers,
)


def serve_with_daphne(address: Address, application: Any) -> bool:
    """Serve until SIGINT or SIGTERM; return whether the server ever listened."""
    host = address.host.replace(":", r"\:")
    server = DaphneServer(
        application,
        endpoints=[f"tcp:port={address.port}:interface={host}:backlog={BACKLOG}"],
        signal_handlers=False,
        ping_interval=PING_INTERVAL_S,
        websocket_timeout=-1,
        websocket_max_message_size=max_frame_bytes(),
        websocket_max_frame_size=max_frame_bytes(),
        application_close_timeout=GRACE_S,
    )
    DaphneLifecycle(server)
    server.run()
    return bool(server.listening_addresses)


class DaphneLifecycle:
    """Starts our parts with Daphne's event loop, and stops them before it at the first signal."""

    def __init__(self, server: DaphneServer) -> None:
        self._server = server
        self._loop = reactor._asyncioEventloop
        # The loop keeps only weak references to tasks.
        self._starting: asyncio.Task[None] | None = None
        self._ending: asyncio.Task[None] | None = None
        for number in (signal.SIGINT, signal.SIGTERM):
            self._loop.add_signal_handler(number, self._on_signal)
        reactor.callWhenRunning(self._on_running)

    def _on_running(self) -> None:
        self._starting = self._loop.create_task(start_parts())

    def _on_signal(self) -> None:
        if self._ending is None:
            self._ending = self._loop.create_task(self._end())

    async def _end(self) -> None:
        try:
            await wait_for_load_balancers(lambda: False)
            async with asyncio.timeout(GRACE_S):
                await stop_parts()
        finally:
            self._server.stop()
