"""How frames leave for one watcher: bounded, never waiting, never blocking another watcher.

`UvicornWire` writes ready-made bytes to the transport and takes the transport's own buffer for the
outbox: no task, no encoding, no queue a message. `AsgiWire` serves every other ASGI server through
its `send`, with an outbox of its own and one task while that is not empty.

Closed candles are never dropped: when the outbox would overflow, the watcher is closed with 4008
and resumes from its last candle. Of forming candles only the newest a series is worth keeping.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from market.domain.series import SeriesId
from market.live import metrics
from market.live.frames import Frame

SLOW_CONSUMER = 4008
SLOW_CONSUMER_REASON = "slow_consumer"

# How long a closed peer may take to read what is still buffered for it.
CLOSE_GRACE_S = 10.0

# Above this a watcher is behind: forming candles wait, and a catch-up waits for room.
BEHIND_BYTES = 65_536

Send = Callable[[dict[str, Any]], Awaitable[None]]
SendClose = Callable[[int, str], Awaitable[None]]


class Wire(Protocol):
    """The way to one watcher."""

    @property
    def is_open(self) -> bool:
        """Whether anything sent now can still arrive."""

    @property
    def is_behind(self) -> bool:
        """Whether so much waits to be read that only closed candles are worth adding."""

    @property
    def waiting_bytes(self) -> int:
        """Bytes that have been sent and not been taken by the network."""

    def send(self, frame: Frame) -> None:
        """Send, or close the watcher with 4008 when its outbox is full."""

    def offer(self, frame: Frame) -> bool:
        """Send unless the watcher is behind; tell whether it was not."""

    def close(self, code: int, reason: str) -> None:
        """Close after what has been sent; the peer has CLOSE_GRACE_S to read it."""


def wire_for(send: Send, *, outbox_bytes: int) -> Wire:
    """The best wire for the server behind `send`; `outbox_bytes` bounds what may wait in it."""
    protocol = getattr(send, "__self__", None)
    if UvicornWire.fits(protocol):
        return UvicornWire(protocol, outbox_bytes)
    return AsgiWire(send, outbox_bytes, send_close=_daphne_close(send))


def _daphne_close(send: Send) -> SendClose | None:
    """Daphne's own way to close: through ASGI it refuses 1001, 1008 and 1009."""
    protocol = next(iter(getattr(send, "args", ())), None)
    send_frame = getattr(protocol, "sendCloseFrame", None)
    if send_frame is None:
        return None

    async def send_close(code: int, reason: str) -> None:
        send_frame(code, reason.encode())

    return send_close


class UvicornWire:
    """Writes to the transport of uvicorn's `websockets-sansio` protocol, compression off."""

    __slots__ = ("_limit", "_protocol", "_transport")

    def __init__(self, protocol: Any, outbox_bytes: int) -> None:
        self._protocol = protocol
        self._transport = protocol.transport
        self._limit = outbox_bytes

    @staticmethod
    def fits(protocol: Any) -> bool:
        """Whether `protocol` has the parts used here and sends frames as they are."""
        conn = getattr(protocol, "conn", None)
        parts = ("transport", "queue", "close_sent", "close_timer", "loop")
        return (
            conn is not None
            and all(hasattr(protocol, part) for part in parts)
            and not getattr(conn, "extensions", True)
        )

    @property
    def is_open(self) -> bool:
        """See Wire.is_open."""
        return not self._protocol.close_sent and not self._transport.is_closing()

    @property
    def is_behind(self) -> bool:
        """See Wire.is_behind."""
        return self.waiting_bytes > BEHIND_BYTES

    @property
    def waiting_bytes(self) -> int:
        """See Wire.waiting_bytes."""
        return int(self._transport.get_write_buffer_size())

    def send(self, frame: Frame) -> None:
        """See Wire.send."""
        transport = self._transport
        if self._protocol.close_sent or transport.is_closing():
            return
        waiting = transport.get_write_buffer_size()
        # A frame larger than the whole outbox must still be able to leave.
        if waiting > BEHIND_BYTES and waiting + len(frame.data) > self._limit:
            self.close(SLOW_CONSUMER, SLOW_CONSUMER_REASON)
        else:
            transport.write(frame.data)

    def offer(self, frame: Frame) -> bool:
        """See Wire.offer. Four of five frames leave here, so the outbox is looked at once."""
        transport = self._transport
        if transport.get_write_buffer_size() > BEHIND_BYTES:
            return False
        if not (self._protocol.close_sent or transport.is_closing()):
            transport.write(frame.data)
        return True

    def close(self, code: int, reason: str) -> None:
        """See Wire.close. The server's own close would wait for a peer that may never read."""
        protocol = self._protocol
        if not self.is_open:
            return
        _count(code)
        protocol.conn.send_close(code, reason)
        self._transport.write(b"".join(protocol.conn.data_to_send()))
        protocol.close_sent = True
        protocol.queue.put_nowait({"type": "websocket.disconnect", "code": code})
        protocol.close_timer = protocol.loop.call_later(CLOSE_GRACE_S, self._transport.abort)


class AsgiWire:
    """Sends through ASGI; a server without back-pressure (Daphne) hides a stalled peer from it."""

    __slots__ = (
        "_closing",
        "_limit",
        "_open",
        "_outbox",
        "_send",
        "_send_close",
        "_task",
        "_waiting",
    )

    def __init__(
        self, send: Send, outbox_bytes: int, *, send_close: SendClose | None = None
    ) -> None:
        self._send = send
        self._send_close = send_close or self._asgi_close
        self._limit = outbox_bytes
        self._outbox: deque[Frame] = deque()
        self._waiting = 0
        self._open = True
        self._closing: tuple[int, str] | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def is_open(self) -> bool:
        """See Wire.is_open."""
        return self._open and self._closing is None

    @property
    def is_behind(self) -> bool:
        """See Wire.is_behind."""
        return self._waiting > BEHIND_BYTES

    @property
    def waiting_bytes(self) -> int:
        """See Wire.waiting_bytes."""
        return self._waiting

    def send(self, frame: Frame) -> None:
        """See Wire.send."""
        if not self.is_open:
            return
        if self._waiting > BEHIND_BYTES and self._waiting + len(frame.data) > self._limit:
            self.close(SLOW_CONSUMER, SLOW_CONSUMER_REASON)
            return
        self._outbox.append(frame)
        self._waiting += len(frame.data)
        self._wake()

    def offer(self, frame: Frame) -> bool:
        """See Wire.offer."""
        if self.is_behind:
            return False
        self.send(frame)
        return True

    def close(self, code: int, reason: str) -> None:
        """See Wire.close."""
        if self.is_open:
            _count(code)
            self._closing = (code, reason)
            asyncio.get_running_loop().call_later(CLOSE_GRACE_S, self._give_up)
            self._wake()

    def _wake(self) -> None:
        if self._task is None:
            self._task = asyncio.create_task(self._drain())

    def _give_up(self) -> None:
        if self._task is not None:
            self._task.cancel()

    async def _drain(self) -> None:
        # A send to a peer that has gone raises what its server likes to raise.
        with contextlib.suppress(Exception):
            while self._outbox:
                frame = self._outbox.popleft()
                for text in frame.texts:
                    await self._send({"type": "websocket.send", "text": text})
                self._waiting -= len(frame.data)
            self._task = None
            if self._closing is not None:
                await self._send_close(*self._closing)
            return
        self._open = False
        self._outbox.clear()

    async def _asgi_close(self, code: int, reason: str) -> None:
        await self._send({"type": "websocket.close", "code": code, "reason": reason})


def _count(code: int) -> None:
    if code == SLOW_CONSUMER:
        metrics.SLOW_CLOSES.inc()


class Watcher:
    """One connection: its wire, and the newest forming candle of each series it could not take."""

    __slots__ = ("_held", "wire")

    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        self._held: dict[SeriesId, Frame] = {}

    @property
    def holds_forming(self) -> bool:
        """Whether forming candles wait for the watcher to catch up."""
        return bool(self._held)

    def send_closed(self, series: SeriesId, frame: Frame) -> None:
        """Send closed candles; a held forming candle of the series is older than they are."""
        if self._held:
            self._held.pop(series, None)
        self.wire.send(frame)

    def send_forming(self, series: SeriesId, frame: Frame) -> None:
        """Send the forming candle, or keep it as the newest while the watcher is behind."""
        if not self.wire.offer(frame):
            self._held[series] = frame

    def release_forming(self) -> None:
        """Send the held forming candles once there is room again."""
        if not self.wire.is_behind:
            held, self._held = self._held, {}
            for frame in held.values():
                self.wire.send(frame)
