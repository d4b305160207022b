"""A WebSocket client that costs next to nothing, so that a thousand fit into one process.

It does the handshake, takes frames apart, answers pings and tells of text messages: what
`websockets` would do beyond that costs more a message than the server under test spends on it.
"""

from __future__ import annotations

import asyncio
import base64
import os
import time
from typing import Protocol, cast
from urllib.parse import urlsplit

from websockets.frames import Frame, Opcode

ABNORMAL = 1006
NO_CODE = 1005
GOODBYE = Frame(Opcode.CLOSE, (1000).to_bytes(2, "big")).serialize(mask=True)


class Listener(Protocol):
    """Whom a socket tells."""

    def connected(self, socket: Socket) -> None:
        """The connection stands; the handshake is under way."""

    def opened(self) -> None:
        """The handshake is done: text may be sent."""

    def heard(self, payload: bytes, at: float) -> None:
        """A text message came; `at` is when it was read (Unix seconds)."""

    def pinged(self) -> None:
        """The server asked for a sign of life, and got it."""

    def lost(self, code: int) -> None:
        """The connection is gone. 1006: no close frame; above 10,000: HTTP status plus that."""


class Socket(asyncio.Protocol):
    """One connection; made by `connect`."""

    __slots__ = ("_buffer", "_code", "_greeting", "_is_open", "_listener", "_transport")

    def __init__(self, listener: Listener, greeting: bytes) -> None:
        self._listener = listener
        self._greeting = greeting
        self._buffer = b""
        self._is_open = False
        self._code = ABNORMAL
        self._transport: asyncio.Transport | None = None

    def send(self, text: bytes) -> None:
        """Send a text message, if the connection still stands."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(Frame(Opcode.TEXT, text).serialize(mask=True))

    def leave(self) -> None:
        """Say goodbye; `lost` follows when the server has answered."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(GOODBYE)

    def drop(self) -> None:
        """Cut the connection without a word."""
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the handshake."""
        # uvloop's transports are not asyncio's by class.
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(self._greeting)
        self._listener.connected(self)

    def data_received(self, data: bytes) -> None:
        """Take apart what came."""
        at = time.time()
        buffer = self._buffer + data if self._buffer else data
        if not self._is_open:
            head, end, rest = buffer.partition(b"\r\n\r\n")
            if not end:
                self._buffer = buffer
                return
            buffer = rest
            if not self._admitted(head):
                return
        self._buffer = self._take_frames(buffer, at)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the listener."""
        self._transport = None
        self._listener.lost(self._code)

    def _admitted(self, head: bytes) -> bool:
        status = int(head.split(b" ", 2)[1])
        if status != 101:
            self._code = 10_000 + status
            self.drop()
            return False
        self._is_open = True
        self._listener.opened()
        return True

    def _take_frames(self, buffer: bytes, at: float) -> bytes:
        """Handle every whole frame; what is left of the buffer."""
        begin, end = 0, len(buffer)
        while end - begin >= 2:
            length, start = buffer[begin + 1] & 127, begin + 2
            if length == 126:
                length, start = int.from_bytes(buffer[start : start + 2], "big"), start + 2
            elif length == 127:
                length, start = int.from_bytes(buffer[start : start + 8], "big"), start + 8
            if end < start + length:
                break
            if buffer[begin] == 0x81:
                self._listener.heard(buffer[start : start + length], at)
            else:
                self._control(buffer[begin], buffer[start : start + length])
            begin = start + length
        return buffer[begin:]

    def _control(self, first: int, payload: bytes) -> None:
        if first == 0x80 | Opcode.PING:
            assert self._transport is not None
            self._transport.write(Frame(Opcode.PONG, payload).serialize(mask=True))
            self._listener.pinged()
        elif first == 0x80 | Opcode.CLOSE:
            self._code = int.from_bytes(payload[:2], "big") or NO_CODE
            self.leave()
        elif first != 0x80 | Opcode.PONG:
            # Fragments and binary frames are nothing that our server sends.
            self.drop()


async def connect(listener: Listener, url: str, path: str, timeout_s: float) -> None:
    """Open a connection to `url` (http://host:port); raises OSError, TimeoutError too.

    The listener gets the socket, and may have heard more by the time this returns.
    """
    address, greeting = urlsplit(url), handshake(url, path)
    async with asyncio.timeout(timeout_s):
        await asyncio.get_running_loop().create_connection(
            lambda: Socket(listener, greeting), address.hostname or "", address.port or 80
        )


def handshake(url: str, path: str) -> bytes:
    """What opens a WebSocket at `url` (http://host:port)."""
    key = base64.b64encode(os.urandom(16)).decode()
    return (
        f"GET {path} HTTP/1.1\r\nHost: {urlsplit(url).netloc}\r\nUpgrade: websocket\r\n"
        f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n"
    ).encode()
