"""A TCP line between two processes that can be cut, and shared out over several targets.

A cut line is what a broken network looks like: connections stay, nothing arrives, nothing is
refused. What was sent meanwhile arrives once the line is healed, as TCP would have it.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Sequence

HOST = "127.0.0.1"
CONNECT_TIMEOUT_S = 2.0
START_TIMEOUT_S = 10.0
# Beyond this much waiting for one side, the other side is not read.
HELD_BYTES = 1 << 20


class Line:
    """Listens on a port of its own and forwards to its targets in turn, skipping dead ones.

    Its methods may be called from any thread. `targets` are ports on 127.0.0.1.
    """

    def __init__(self, targets: Sequence[int]) -> None:
        self.targets = list(targets)
        self.port = 0
        self.is_cut = False
        self._ends: set[End] = set()
        self._turn = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="line", daemon=True)

    def start(self) -> Line:
        """Begin to listen; the line's `port` is known afterwards."""
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(START_TIMEOUT_S)
        return self

    def cut(self) -> None:
        """Let nothing through, in either direction, from now on."""
        self._call(self._set_cut, True)

    def heal(self) -> None:
        """Let everything through again, beginning with what waits."""
        self._call(self._set_cut, False)

    def reset(self) -> None:
        """Abort every connection that is open now; new ones are accepted."""
        self._call(self._abort_all)

    def close(self) -> None:
        """End the line and everything on it."""
        self._call(self._stop)
        self._thread.join(START_TIMEOUT_S)
        self._loop.close()

    def _call(self, work: Callable[..., None], *arguments: bool) -> None:
        self._loop.call_soon_threadsafe(work, *arguments)

    async def _listen(self) -> None:
        self._server = await self._loop.create_server(lambda: End(self), HOST, 0, backlog=2048)
        self.port = self._server.sockets[0].getsockname()[1]

    def _set_cut(self, is_cut: bool) -> None:
        self.is_cut = is_cut
        for end in list(self._ends):
            end.forward()

    def _abort_all(self) -> None:
        for end in list(self._ends):
            end.abort()

    def _stop(self) -> None:
        self._server.close()
        self._abort_all()
        # One more round, in which the transports tell that they are gone.
        self._loop.call_later(0.05, self._loop.stop)

    # What the ends ask for, on the line's loop

    def joined(self, end: End) -> None:
        """A connection has begun."""
        self._ends.add(end)

    def left(self, end: End) -> None:
        """A connection has ended."""
        self._ends.discard(end)

    async def reach(self, caller: End) -> None:
        """Connect the caller with the next target that answers, or hang up."""
        for _ in range(len(self.targets)):
            self._turn += 1
            port = self.targets[self._turn % len(self.targets)]
            with contextlib.suppress(OSError, TimeoutError):
                async with asyncio.timeout(CONNECT_TIMEOUT_S):
                    await self._loop.create_connection(lambda: End(self, caller), HOST, port)
                return
        caller.abort()


class End(asyncio.Protocol):
    """One connection at one end of a line; what it reads goes to its peer at the other end."""

    def __init__(self, line: Line, peer: End | None = None) -> None:
        self._line = line
        self._peer = peer
        self._held = bytearray()
        self._is_over = False
        self._transport: asyncio.Transport | None = None
        self._reaching: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Find a peer for a caller, or be the peer that was looked for."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._line.joined(self)
        if self._peer is None:
            self._reaching = asyncio.create_task(self._line.reach(self))
        else:
            self._peer.met(self)

    def met(self, peer: End) -> None:
        """The target answered."""
        self._peer = peer
        self.forward()

    def data_received(self, data: bytes) -> None:
        """Forward, or hold while the line is cut."""
        self._held += data
        self.forward()

    def forward(self) -> None:
        """Give the peer what waits for it, if the line lets it."""
        transport = self._transport
        if transport is None:
            return
        peer = self._peer._transport if self._peer else None
        if peer is not None and not self._line.is_cut:
            if self._held and not peer.is_closing():
                peer.write(bytes(self._held))
            self._held.clear()
            if self._is_over:
                peer.close()
        if not transport.is_closing():
            (
                transport.pause_reading
                if len(self._held) > HELD_BYTES
                else transport.resume_reading
            )()

    def pause_writing(self) -> None:
        """This end does not take more: let the other one not be read."""
        if self._peer and self._peer._transport and not self._peer._transport.is_closing():
            self._peer._transport.pause_reading()

    def resume_writing(self) -> None:
        """This end takes more."""
        if self._peer and self._peer._transport and not self._peer._transport.is_closing():
            self._peer._transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        """Hang up on the peer as well, behind what waits for it."""
        self._is_over = True
        self._line.left(self)
        if self._reaching is not None and self._peer is None:
            self._reaching.cancel()
        self.forward()

    def abort(self) -> None:
        """Break the connection off."""
        if self._transport is not None:
            self._transport.abort()
