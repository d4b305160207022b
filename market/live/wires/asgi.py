"""Sends through ASGI, for every server but uvicorn, with an outbox and a task while it has frames.

A server without back-pressure, as Daphne is, hides a stalled peer from it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable, Callable
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

Send = Callable[[dict[str, Any]], Awaitable[None]]


class AsgiWire(Wire):
    """A wire on an ASGI server's `send`."""

    __slots__ = ("_closing", "_limit", "_open", "_outbox", "_send", "_task", "_waiting")

    def __init__(self, send: Send, outbox_bytes: int) -> None:
        self._send = send
        self._limit = outbox_bytes
        self._outbox: deque[Frame] = deque()
        self._waiting = 0
        self._open = True
        self._closing: tuple[int, str] | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    @override
    def is_open(self) -> bool:
        return self._open and self._closing is None

    @property
    @override
    def is_behind(self) -> bool:
        return self._waiting > BEHIND_BYTES

    @property
    @override
    def waiting_bytes(self) -> int:
        return self._waiting

    @override
    def send(self, frame: Frame) -> None:
        if not self.is_open:
            return
        if self._waiting > BEHIND_BYTES and self._waiting + len(frame.data) > self._limit:
            self.close(SLOW_CONSUMER, SLOW_CONSUMER_REASON)
            return
        self._outbox.append(frame)
        self._waiting += len(frame.data)
        self._start_sending()

    @override
    def offer(self, frame: Frame) -> bool:
        if self.is_behind:
            return False
        self.send(frame)
        return True

    @override
    def close(self, code: int, reason: str) -> None:
        if self.is_open:
            count_close(code)
            self._closing = (code, reason)
            asyncio.get_running_loop().call_later(CLOSE_GRACE_S, self._cancel)
            self._start_sending()

    def _start_sending(self) -> None:
        if self._task is None:
            self._task = asyncio.create_task(self._send_outbox())

    def _cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()

    async def _send_outbox(self) -> None:
        # Servers raise exceptions of their own when the peer is gone.
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

    async def _send_close(self, code: int, reason: str) -> None:
        # Through ASGI Daphne refuses 1001, 1008 and 1009, so its protocol is asked directly.
        protocol = next(iter(getattr(self._send, "args", ())), None)
        send_frame = getattr(protocol, "sendCloseFrame", None)
        if send_frame is not None:
            send_frame(code, reason.encode())
        else:
            await self._send({"type": "websocket.close", "code": code, "reason": reason})
