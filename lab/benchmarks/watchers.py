"""A thousand watchers in one process: sockets that only note when a marked message arrived."""

from __future__ import annotations

import asyncio
import base64
import os
import time
from collections.abc import Sequence

import orjson
from websockets.frames import Frame, Opcode

CONNECT_AT_ONCE = 50


class WatcherProtocol(asyncio.Protocol):
    """A WebSocket client reduced to what costs least: it parses frame lengths, nothing else."""

    def __init__(self, crowd: Crowd, greeting: bytes) -> None:
        self._crowd = crowd
        self._greeting = greeting
        self._buffer = b""
        loop = asyncio.get_running_loop()
        self.opened: asyncio.Future[None] = loop.create_future()
        self.closed: asyncio.Future[None] = loop.create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the handshake."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.write(self._greeting)

    def data_received(self, data: bytes) -> None:
        """Pass the handshake's answer, then count messages."""
        buffer = self._buffer + data
        if not self.opened.done():
            head, end, buffer = buffer.partition(b"\r\n\r\n")
            if not end:
                self._buffer = head
                return
            self.opened.set_result(None)
        self._buffer = self._take_frames(buffer)

    def _take_frames(self, buffer: bytes) -> bytes:
        while len(buffer) >= 2:
            length, start = buffer[1] & 127, 2
            if length == 126:
                length, start = int.from_bytes(buffer[2:4], "big"), 4
            elif length == 127:
                length, start = int.from_bytes(buffer[2:10], "big"), 10
            if len(buffer) < start + length:
                break
            if buffer[0] & 15 == Opcode.TEXT:
                self._crowd.note(buffer[start : start + length])
            buffer = buffer[start + length :]
        return buffer

    def connection_lost(self, exc: Exception | None) -> None:
        """A watcher that is thrown out makes the figures worthless."""
        self._crowd.lost += 1
        self.closed.set_result(None)


class Crowd:
    """Many watchers of one server."""

    def __init__(self) -> None:
        self.lost = 0
        self._mark = b"\0"
        self._arrivals: list[float] = []
        self._wanted = 0
        self._all_here: asyncio.Future[None] | None = None
        self._protocols: list[WatcherProtocol] = []

    async def connect(self, port: int, path: str, count: int, first: dict[str, object]) -> None:
        """Open `count` connections, each saying `first` once it is open."""
        greeting = _handshake(port, path)
        hello = Frame(Opcode.TEXT, orjson.dumps(first)).serialize(mask=True)
        loop = asyncio.get_running_loop()
        for start in range(0, count, CONNECT_AT_ONCE):
            batch = await asyncio.gather(
                *(
                    loop.create_connection(
                        lambda: WatcherProtocol(self, greeting), "127.0.0.1", port
                    )
                    for _ in range(min(CONNECT_AT_ONCE, count - start))
                )
            )
            for _, protocol in batch:
                await asyncio.wait_for(protocol.opened, 20)
                protocol.transport.write(hello)
                self._protocols.append(protocol)

    def expect(self, mark: bytes) -> None:
        """Begin to wait for the message that contains `mark`, at every watcher."""
        self._mark, self._arrivals, self._wanted = mark, [], len(self._protocols)
        self._all_here = asyncio.get_running_loop().create_future()

    def note(self, payload: bytes) -> None:
        """A message arrived somewhere."""
        if self._mark in payload:
            self._arrivals.append(time.perf_counter())
            if len(self._arrivals) == self._wanted and self._all_here is not None:
                self._all_here.set_result(None)

    async def arrivals(self, timeout: float = 20.0) -> Sequence[float]:
        """When the expected message arrived at each watcher (`time.perf_counter` seconds)."""
        assert self._all_here is not None
        await asyncio.wait_for(self._all_here, timeout)
        return self._arrivals

    async def leave(self) -> None:
        """Close every connection, and wait until the server has done so too."""
        goodbye = Frame(Opcode.CLOSE, (1000).to_bytes(2, "big")).serialize(mask=True)
        for protocol in self._protocols:
            protocol.transport.write(goodbye)
        gone = [protocol.closed for protocol in self._protocols]
        self._protocols.clear()
        await asyncio.wait_for(asyncio.gather(*gone), 20)


def _handshake(port: int, path: str) -> bytes:
    key = base64.b64encode(os.urandom(16)).decode()
    return (
        f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\n"
        f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n"
    ).encode()
