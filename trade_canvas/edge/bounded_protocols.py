"""uvicorn's protocols with limits that they lack against clients that only cost memory.

httptools accepts a request head of any length for any time, and pongs are buffered for a peer that
never reads them.
"""

from __future__ import annotations

import asyncio

from typing_extensions import override
from uvicorn._types import ASGISendEvent
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from market.api.asgi import CONNECTION
from market.timeouts import Timeout
from trade_canvas.edge.unread_answers import Connection

MAX_HEAD_BYTES = 65_536
HEAD_TIMEOUT_S = 20.0
STALL_TIMEOUT_S = 30.0

# How long the rest of a body is discarded after its request was answered. Closing at once would
# reset the connection, and the client, which is still sending, would lose the answer.
LINGER_S = 5.0

# Pongs that may be buffered for a peer that does not read.
MAX_UNREAD_PONG_BYTES = 1_048_576

TOO_LARGE = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\n"
    b"content-length: 0\r\nconnection: close\r\n\r\n"
)


class BoundedHttp(HttpToolsProtocol):
    """Closes a connection whose request head is too long or too slow, or that reads no answer."""

    _head_bytes = 0
    _in_head = True
    _in_body = False
    _unread_bytes = 0

    @override
    def connection_made(  # type: ignore[override]  # as uvicorn's own is
        self, transport: asyncio.Transport
    ) -> None:
        super().connection_made(transport)
        self._connection = Connection(self.flow.drain, transport.abort)
        self._head = Timeout(self.loop, transport.close)
        self._stall = Timeout(self.loop, self._abort_unless_reading)
        self._linger = Timeout(self.loop, transport.close)
        self._head.start(HEAD_TIMEOUT_S)

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._close_timeouts()
        super().connection_lost(exc)

    @override
    def handle_websocket_upgrade(self) -> None:
        # Another protocol takes the connection over.
        self._close_timeouts()
        super().handle_websocket_upgrade()

    @override
    def pause_writing(self) -> None:
        super().pause_writing()
        self._unread_bytes = self.transport.get_write_buffer_size()
        self._stall.start(STALL_TIMEOUT_S)

    @override
    def resume_writing(self) -> None:
        self._stall.stop()
        super().resume_writing()

    @override
    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["state"][CONNECTION] = self._connection
        # The first head is expected from the start; this is another one on a kept connection.
        if not self._in_head:
            self._expect_head()

    @override
    def on_headers_complete(self) -> None:
        self._in_head, self._in_body = False, True
        self._head.stop()
        super().on_headers_complete()

    @override
    def on_message_complete(self) -> None:
        self._in_body = False
        self._linger.stop()
        super().on_message_complete()

    @override
    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self._in_body and not self.transport.is_closing():
            self._linger.start(LINGER_S)

    @override
    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._is_between_requests():
            # What came is no request yet: empty lines, which end uvicorn's own timer.
            self._expect_head()
        if self._in_head:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES and not self.transport.is_closing():
                self.transport.write(TOO_LARGE)
                self.transport.close()

    def _is_between_requests(self) -> bool:
        """Whether the last request is over and nothing limits the time until the next one."""
        is_over = self.cycle is not None and self.cycle.response_complete
        is_limited = self._in_head or self._in_body or self.timeout_keep_alive_task is not None
        return is_over and not is_limited and not self.transport.is_closing()

    def _expect_head(self) -> None:
        self._in_head, self._head_bytes = True, 0
        self._head.start(HEAD_TIMEOUT_S)

    def _abort_unless_reading(self) -> None:
        """Abort a connection whose client has read nothing for STALL_TIMEOUT_S."""
        before, self._unread_bytes = self._unread_bytes, self.transport.get_write_buffer_size()
        if self._unread_bytes < before:
            self._stall.start(STALL_TIMEOUT_S)
        else:
            self.transport.abort()

    def _close_timeouts(self) -> None:
        for timeout in (self._head, self._stall, self._linger):
            timeout.close()


class BoundedWebSocket(WebSocketsSansIOProtocol):
    """Aborts a connection whose peer sends pings and does not read the pongs."""

    @override
    async def send(self, message: ASGISendEvent) -> None:
        await super().send(message)
        if message["type"] == "websocket.http.response.body" and not message.get("more_body"):
            # A refusal is an answer; uvicorn would log each as an incomplete handshake.
            self.handshake_complete = True

    @override
    def handle_ping(self) -> None:
        if self.transport.get_write_buffer_size() > MAX_UNREAD_PONG_BYTES:
            self.transport.abort()
        else:
            super().handle_ping()
