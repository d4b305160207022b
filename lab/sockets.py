"""A WebSocket client that costs next to nothing, so that a thousand fit into one process.

It does the handshake, splits frames, answers pings and passes on text messages: anything more,
as in `websockets`, would cost more per message than the server under test spends on it.
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
REFUSED = 10_000
"""Added to the HTTP status of a refused handshake to make a close code of it."""
CLOSE = Frame(Opcode.CLOSE, (1000).to_bytes(2, "big")).serialize(mask=True)


class Listener(Protocol):
    """Receives the events of a socket."""

    def connected(self, socket: Socket) -> None:
        """The TCP connection is open; the handshake has been sent."""

    def opened(self) -> None:
        """The handshake is done: text may be sent."""

    def received(self, payload: bytes, at: float) -> None:
        """A text message arrived, read at `at` (Unix seconds)."""

    def pinged(self) -> None:
        """The server sent a ping, which has been answered."""

    def closed(self, code: int, reason: str) -> None:
        """The connection has ended: 1006 without a close frame, REFUSED + status if refused."""


class Socket(asyncio.Protocol):
    """One connection; made by `connect`."""

    __slots__ = ("_buffer", "_ending", "_greeting", "_is_open", "_listener", "_transport")

    def __init__(self, listener: Listener, greeting: bytes) -> None:
        self._listener = listener
        self._greeting = greeting
        self._buffer = b""
        self._is_open = False
        self._ending = (ABNORMAL, "")
        self._transport: asyncio.Transport | None = None

    def send(self, data: bytes, opcode: Opcode = Opcode.TEXT) -> None:
        """Send a message, if the connection is still open."""
        self._write(Frame(opcode, data).serialize(mask=True))

    def leave(self) -> None:
        """Send a close frame; `closed` follows when the server has answered."""
        self._write(CLOSE)

    def drop(self) -> None:
        """Abort the connection without a close frame."""
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the handshake."""
        # uvloop's transports are not asyncio's by class.
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(self._greeting)
        self._listener.connected(self)

    def data_received(self, data: bytes) -> None:
        """Read the handshake's answer once, then frames."""
        at = time.time()
        buffer = self._buffer + data if self._buffer else data
        if not self._is_open:
            head, end, rest = buffer.partition(b"\r\n\r\n")
            if not end:
                self._buffer = buffer
                return
            status = int(head.split(b" ", 2)[1])
            if status != 101:
                self._ending = (REFUSED + status, "")
                self.drop()
                return
            self._is_open, buffer = True, rest
            self._listener.opened()
        self._buffer = self._read_frames(buffer, at)

    def connection_lost(self, exc: Exception | None) -> None:
        """Report the end of the connection."""
        self._transport = None
        self._listener.closed(*self._ending)

    def _write(self, data: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def _read_frames(self, buffer: bytes, at: float) -> bytes:
        """Handle every whole frame and return the rest of the buffer."""
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
                self._listener.received(buffer[start : start + length], at)
            else:
                self._control(buffer[begin], buffer[start : start + length])
            begin = start + length
        return buffer[begin:]

    def _control(self, first: int, payload: bytes) -> None:
        if first == 0x80 | Opcode.PING:
            self._write(Frame(Opcode.PONG, payload).serialize(mask=True))
            self._listener.pinged()
        elif first == 0x80 | Opcode.CLOSE:
            code = int.from_bytes(payload[:2], "big") or NO_CODE
            self._ending = (code, payload[2:].decode(errors="replace"))
            self.leave()
        elif first != 0x80 | Opcode.PONG:
            # The server sends neither fragments nor binary frames.
            self.drop()


async def connect(listener: Listener, url: str, path: str, timeout_s: float) -> None:
    """Open a connection to `url` (http or https, host, port). Raises OSError, TimeoutError too.

    The listener may have received messages by the time this returns.
    """
    address, greeting = urlsplit(url), handshake(url, path)
    async with asyncio.timeout(timeout_s):
        await asyncio.get_running_loop().create_connection(
            lambda: Socket(listener, greeting),
            address.hostname or "",
            address.port or 80,
            ssl=address.scheme == "https" or None,
        )


def handshake(url: str, path: str) -> bytes:
    """Return the request that opens a WebSocket at `url` (http://host:port)."""
    key = base64.b64encode(os.urandom(16)).decode()
    return (
        f"GET {path} HTTP/1.1\r\nHost: {urlsplit(url).netloc}\r\nUpgrade: websocket\r\n"
        f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n"
    ).encode()
