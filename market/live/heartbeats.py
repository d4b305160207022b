"""Heartbeats for the clients that ask for them.

A browser shows a page neither pings nor a connection that is dead but still open: a message every
few seconds lets it notice within ten seconds, on every timeframe.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from weakref import WeakKeyDictionary

from market.live import metrics
from market.live.frames import Frame
from market.live.messages import Heartbeat
from market.live.wires.port import Wire
from market.stopping import stop

INTERVAL_S = 3.0


class Heartbeats:
    """Sends one frame to all its connections every INTERVAL_S; runs while it has any."""

    def __init__(
        self,
        *,
        interval_s: float = INTERVAL_S,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._interval_s = interval_s
        self._clock = clock
        self._wires: set[Wire] = set()
        self._task: asyncio.Task[None] | None = None

    def begin(self, wire: Wire) -> None:
        """Send heartbeats to a connection, the first one at once."""
        self._send(self._frame(), [wire])
        self._wires.add(wire)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run(), name="heartbeats")

    def end(self, wire: Wire) -> None:
        """Send no more heartbeats to a connection."""
        self._wires.discard(wire)

    async def stop(self) -> None:
        """Send nothing more, at the end of the process."""
        self._wires.clear()
        if self._task is not None:
            await stop([self._task])

    async def _run(self) -> None:
        while self._wires:
            await asyncio.sleep(self._interval_s)
            self._send(self._frame(), list(self._wires))

    def _frame(self) -> Frame:
        message: Heartbeat = {"type": "heartbeat", "time": int(self._clock())}
        return Frame.of(message)

    def _send(self, frame: Frame, wires: list[Wire]) -> None:
        # A connection that is behind has messages on the way, which show as well that it lives.
        sent = sum(wire.offer(frame) for wire in wires)
        metrics.frame_sent(frame.types, len(frame.data), sent)


_of_loop: WeakKeyDictionary[asyncio.AbstractEventLoop, Heartbeats] = WeakKeyDictionary()


def heartbeats() -> Heartbeats:
    """The heartbeats of the running event loop."""
    return _of_loop.setdefault(asyncio.get_running_loop(), Heartbeats())
