"""A thousand watchers in this process: sockets that only note when a candle arrived."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Protocol

import orjson

from lab.sockets import Socket, connect

CONNECT_AT_ONCE = 50
TIMEOUT_S = 20.0


class Notes(Protocol):
    """What watchers report to."""

    def note(self, payload: bytes) -> None:
        """Take what a watcher received."""


class Watcher:
    """One connection, which subscribes once it is open; a Listener that costs next to nothing."""

    def __init__(self, watchers: Notes, first_message: bytes) -> None:
        self._watchers = watchers
        self._first_message = first_message
        self.has_opened = asyncio.Event()
        self.has_ended = asyncio.Event()

    def connected(self, socket: Socket) -> None:
        """Keep the socket."""
        self.socket = socket

    def opened(self) -> None:
        """Send the first message."""
        self.socket.send(self._first_message)
        self.has_opened.set()

    def received(self, payload: bytes, at: float) -> None:
        """Note the expected candle."""
        self._watchers.note(payload)

    def pinged(self) -> None:
        """Nothing to note."""

    def closed(self, code: int, reason: str) -> None:
        """Note the end of the connection."""
        self.has_ended.set()


class Watchers:
    """Many watchers of one server."""

    def __init__(self) -> None:
        self._mark = b"\0"
        self._arrivals: list[float] = []
        self._all_arrived = asyncio.Event()
        self._every: list[Watcher] = []

    async def connect(self, url: str, path: str, count: int, first: dict[str, object]) -> None:
        """Open `count` connections, each of which sends `first` once it is open."""
        new = [Watcher(self, orjson.dumps(first)) for _ in range(count)]
        for start in range(0, count, CONNECT_AT_ONCE):
            batch = new[start : start + CONNECT_AT_ONCE]
            await asyncio.gather(*(connect(each, url, path, TIMEOUT_S) for each in batch))
            for each in batch:
                await asyncio.wait_for(each.has_opened.wait(), TIMEOUT_S)
        self._every += new

    async def delays(self, candle_time: int, send: Callable[[], Awaitable[object]]) -> list[float]:
        """Send the candle of this open time; return the ms until it arrived at each watcher."""
        self._mark, self._arrivals = b'"candle_time":%d,' % candle_time, []
        self._all_arrived.clear()
        start = time.perf_counter()
        await send()
        await asyncio.wait_for(self._all_arrived.wait(), TIMEOUT_S)
        return [1000 * (at - start) for at in self._arrivals]

    def note(self, payload: bytes) -> None:
        """Note the time if it is the expected candle."""
        if self._mark in payload:
            self._arrivals.append(time.perf_counter())
            if len(self._arrivals) == len(self._every):
                self._all_arrived.set()

    async def leave(self) -> None:
        """Close every connection. Raises RuntimeError when the server had closed one before."""
        lost = sum(each.has_ended.is_set() for each in self._every)
        for each in self._every:
            each.socket.leave()
        for each in self._every:
            await asyncio.wait_for(each.has_ended.wait(), TIMEOUT_S)
        self._every.clear()
        if lost:
            raise RuntimeError(f"{lost} watchers lost their connection")
