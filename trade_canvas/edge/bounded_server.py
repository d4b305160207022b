"""uvicorn's protocols with the bounds that they lack against strangers who only cost memory.

httptools takes a head of any length for as long as it comes, and pings are answered into a buffer
that a peer need not read.
"""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

MAX_HEAD_BYTES = 65_536
HEAD_TIMEOUT_S = 20.0

# Answers to pings that may wait for a peer that does not read them.
MAX_UNREAD_PONG_BYTES = 1_048_576

TOO_LARGE = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\n"
    b"content-length: 0\r\nconnection: close\r\n\r\n"
)


class BoundedHttp(HttpToolsProtocol):
    """Ends a connection whose head is too long, or does not come to its end."""

    _head_bytes = 0
    _in_head = True
    _head_timer: asyncio.TimerHandle | None = None

    def connection_made(  # type: ignore[override]  # as uvicorn's own is
        self, transport: asyncio.Transport
    ) -> None:
        """Expect a head."""
        super().connection_made(transport)
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Expect nothing more."""
        self._stop_timer()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        """A head begins: the first, or another on a connection that is kept."""
        super().on_message_begin()
        if not self._in_head:
            self._in_head, self._head_bytes = True, 0
            self._expect_head()

    def on_headers_complete(self) -> None:
        """The head is whole."""
        self._in_head = False
        self._stop_timer()
        super().on_headers_complete()

    def data_received(self, data: bytes) -> None:
        """Count what comes until the head is whole."""
        super().data_received(data)
        if self._in_head:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES and not self.transport.is_closing():
                self.transport.write(TOO_LARGE)
                self.transport.close()

    def _expect_head(self) -> None:
        self._stop_timer()
        self._head_timer = self.loop.call_later(HEAD_TIMEOUT_S, self.transport.close)

    def _stop_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None


class BoundedWebSocket(WebSocketsSansIOProtocol):
    """Cuts off a peer that sends pings and does not read their answers."""

    def handle_ping(self) -> None:
        """Answer, while answers are read."""
        if self.transport.get_write_buffer_size() > MAX_UNREAD_PONG_BYTES:
            self.transport.abort()
        else:
            super().handle_ping()
