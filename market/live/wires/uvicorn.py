"""Writes ready-made frames to uvicorn's transport, whose own buffer serves as the outbox.

There is no task, no encoding and no queue per message.
"""

from __future__ import annotations

from typing import Any

from typing_extensions import override

from market.live.frames import Frame
from market.live.wires.port import (
    BEHIND_BYTES,
    CLOSE_GRACE_S,
    SLOW_CONSUMER,
    SLOW_CONSUMER_REASON,
    Wire,
    count_close,
)

# Attributes of uvicorn's protocol class that are used here and that uvicorn does not document,
# besides `conn`, the connection's state in the websockets library.
PRIVATE_ATTRIBUTES = ("transport", "queue", "close_sent", "close_timer", "loop")


class UvicornWire(Wire):
    """A wire on uvicorn's `websockets-sansio` protocol without compression."""

    __slots__ = ("_limit", "_protocol", "_transport")

    def __init__(self, protocol: Any, outbox_bytes: int) -> None:
        self._protocol = protocol
        self._transport = protocol.transport
        self._limit = outbox_bytes

    @staticmethod
    def fits(protocol: Any) -> bool:
        """Whether `protocol` has the attributes used here and does not compress frames."""
        conn = getattr(protocol, "conn", None)
        return (
            conn is not None
            and all(hasattr(protocol, name) for name in PRIVATE_ATTRIBUTES)
            and not getattr(conn, "extensions", True)
        )

    @property
    @override
    def is_open(self) -> bool:
        return not self._protocol.close_sent and not self._transport.is_closing()

    @property
    @override
    def is_behind(self) -> bool:
        return self.waiting_bytes > BEHIND_BYTES

    @property
    @override
    def waiting_bytes(self) -> int:
        return int(self._transport.get_write_buffer_size())

    @override
    def send(self, frame: Frame) -> None:
        transport = self._transport
        if self._protocol.close_sent or transport.is_closing():
            return
        waiting = transport.get_write_buffer_size()
        if waiting > BEHIND_BYTES and waiting + len(frame.data) > self._limit:
            self.close(SLOW_CONSUMER, SLOW_CONSUMER_REASON)
        else:
            transport.write(frame.data)

    @override
    def offer(self, frame: Frame) -> bool:
        # Four of five frames leave here, so the buffer's size is asked for only once.
        transport = self._transport
        if transport.get_write_buffer_size() > BEHIND_BYTES:
            return False
        if not (self._protocol.close_sent or transport.is_closing()):
            transport.write(frame.data)
        return True

    @override
    def close(self, code: int, reason: str) -> None:
        # uvicorn's own close would wait for a peer that may never read.
        protocol = self._protocol
        if not self.is_open:
            return
        count_close(code)
        protocol.conn.send_close(code, reason)
        self._transport.write(b"".join(protocol.conn.data_to_send()))
        protocol.close_sent = True
        protocol.queue.put_nowait({"type": "websocket.disconnect", "code": code})
        protocol.close_timer = protocol.loop.call_later(CLOSE_GRACE_S, self._transport.abort)
