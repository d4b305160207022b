"""A process full of watchers that count: `python -m trade_canvas.drills.watchers`.

Its order comes as one line of JSON on standard input. It tells on standard output, a line of JSON
each, whenever its watchers become whole or cease to be, and at the end what each of them received.
A watcher does what the sync contract asks of a client: follow, and come back with `since`.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
import random
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, cast

import orjson
import uvloop
from websockets.frames import Frame, Opcode

from market.domain.series import SeriesId

PATH = "/ws/market"
TICK_S = 0.05
CONNECT_TIMEOUT_S = 5.0
FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 1.0
FORMING = b'{"type":"candle_forming"'
END_TIMEOUT_S = 60.0

Address = tuple[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What a process of watchers is to do; each series gets `count` watchers from `since` on.

    A watcher is whole while it is connected and at most `late_s` behind the end of its newest
    candle. After `silence_s` without a word it goes elsewhere.
    """

    addresses: Sequence[Sequence[Any]]
    since: dict[str, int]
    count: int
    late_s: float = 3.0
    silence_s: float = 8.0


@dataclass(slots=True)
class Received:
    """What the watchers of one series got, over all of their connections.

    `candles` are the values by open time as first seen; `differing` counts later ones that were
    not the same.
    """

    watchers: int = 0
    delivered: int = 0
    lost: int = 0
    duplicated: int = 0
    out_of_order: int = 0
    differing: int = 0
    gaps: int = 0
    revisions: int = 0
    candles: dict[int, list[float]] = field(default_factory=dict)


class Connection(asyncio.Protocol):
    """A WebSocket client reduced to what counting needs."""

    def __init__(self, watcher: Watcher, greeting: bytes) -> None:
        self._watcher = watcher
        self._greeting = greeting
        self._buffer = b""
        self._is_open = False
        loop = asyncio.get_running_loop()
        self.heard_at = loop.time()
        self.closed: asyncio.Future[None] = loop.create_future()
        self.code = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the handshake."""
        # uvloop's own is no subclass.
        self.transport = cast(asyncio.Transport, transport)
        self.transport.write(self._greeting)

    def data_received(self, data: bytes) -> None:
        """Pass the handshake's answer, then take frames."""
        self.heard_at = asyncio.get_running_loop().time()
        buffer = self._buffer + data
        if not self._is_open:
            head, end, rest = buffer.partition(b"\r\n\r\n")
            if not end:
                self._buffer = buffer
                return
            if b" 101 " not in head.split(b"\r\n", 1)[0]:
                self.transport.abort()
                return
            self._is_open, buffer = True, rest
            self._watcher.opened(self)
        self._buffer = self._take_frames(buffer)

    def _take_frames(self, buffer: bytes) -> bytes:
        start = 0
        while (found := _frame_at(buffer, start)) is not None:
            begin, end = found
            self._take(buffer[start] & 15, buffer[begin:end])
            start = end
        return buffer[start:]

    def _take(self, kind: int, payload: bytes) -> None:
        if kind == Opcode.TEXT:
            if not payload.startswith(FORMING):
                self._watcher.take(orjson.loads(payload))
        elif kind == Opcode.PING:
            self.transport.write(Frame(Opcode.PONG, payload).serialize(mask=True))
        elif kind == Opcode.CLOSE:
            self.code = int.from_bytes(payload[:2], "big")
            self.transport.write(Frame(Opcode.CLOSE, payload).serialize(mask=True))
            self.transport.close()

    def say(self, message: dict[str, Any]) -> None:
        """Send one message."""
        self.transport.write(Frame(Opcode.TEXT, orjson.dumps(message)).serialize(mask=True))

    def connection_lost(self, exc: Exception | None) -> None:
        """However it came about."""
        if not self.closed.done():
            self.closed.set_result(None)


def _frame_at(buffer: bytes, start: int) -> tuple[int, int] | None:
    """Where the payload of the frame at `start` begins and ends; None while it is not whole."""
    if len(buffer) < start + 2:
        return None
    length, begin = buffer[start + 1] & 127, start + 2
    if length >= 126:
        wide = 2 if length == 126 else 8
        length, begin = int.from_bytes(buffer[begin : begin + wide], "big"), begin + wide
    return (begin, begin + length) if len(buffer) >= begin + length else None


class Watcher:
    """Follows one series for as long as it is let, over as many connections as it takes."""

    def __init__(self, series: str, since: int, received: Received) -> None:
        self.series = series
        self.cursor = since
        self.received = received
        self.connection: Connection | None = None
        self.is_following = False
        self.codes: Counter[int] = Counter()
        # It says that it has the one at `since`.
        self._seen = {since}
        self._failures = 0

    async def run(self, addresses: Sequence[Address], silence_s: float) -> None:
        """Connect, follow, and do so again elsewhere when that ends."""
        turn = random.randrange(len(addresses))
        while True:
            turn += 1
            with contextlib.suppress(OSError, TimeoutError):
                await self._follow(addresses[turn % len(addresses)], silence_s)
            self.is_following, self.connection = False, None
            longest = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0**self._failures)
            self._failures += 1
            await asyncio.sleep(random.uniform(longest / 2, longest))

    async def _follow(self, address: Address, silence_s: float) -> None:
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            _, connection = await loop.create_connection(
                lambda: Connection(self, handshake(address)), *address
            )
        self.connection = connection
        while not connection.closed.done():
            await asyncio.wait([connection.closed], timeout=silence_s / 4)
            if loop.time() - connection.heard_at > silence_s:
                connection.transport.abort()
        self.codes[connection.code] += 1

    def opened(self, connection: Connection) -> None:
        """Ask for what is missing and for what is to come."""
        self._failures = 0
        self.is_following = True
        connection.say(
            {
                "type": "subscribe",
                "series_id": self.series,
                "since": self.cursor,
                "supports_batch": True,
            }
        )

    def take(self, message: dict[str, Any]) -> None:
        """Count a message."""
        kind = message["type"]
        if kind == "candle_closed":
            self._count(message["candle"])
        elif kind == "candles_batch":
            for candle in message["candles"]:
                self._count(candle)
        elif kind == "gap":
            self.received.gaps += 1
        elif kind == "system":
            self.received.revisions += message["event"] == "candle.revised"
        elif kind == "error":
            self._ask_again()

    def _count(self, candle: dict[str, float]) -> None:
        received = self.received
        moment = int(candle["candle_time"])
        received.delivered += 1
        if moment in self._seen:
            received.duplicated += 1
        elif moment < self.cursor:
            received.out_of_order += 1
        self._seen.add(moment)
        self.cursor = max(self.cursor, moment)
        values = list(candle.values())[1:]
        received.differing += received.candles.setdefault(moment, values) != values

    def _ask_again(self) -> None:
        """The catch-up failed: the connection stays, the subscription is asked for again."""
        if self.connection is not None:
            connection = self.connection
            pause = random.uniform(FIRST_PAUSE_S, LONGEST_PAUSE_S)
            asyncio.get_running_loop().call_later(pause, self._subscribe_on, connection)

    def _subscribe_on(self, connection: Connection) -> None:
        if self.connection is connection and not connection.closed.done():
            self.opened(connection)

    def missing(self, first: int, through: int, step: int) -> int:
        """How many candles from `first` to `through` (open times) never came."""
        return sum(moment not in self._seen for moment in range(first, through + 1, step))


class Crowd:
    """All watchers of this process."""

    def __init__(self, order: Order) -> None:
        self._order = order
        self._received = {series: Received(watchers=order.count) for series in order.since}
        self._steps = {each: SeriesId.parse(each).timeframe.seconds for each in order.since}
        self._watchers = [
            Watcher(series, since, self._received[series])
            for series, since in order.since.items()
            for _ in range(order.count)
        ]
        self._clock_off_s = 0.0
        self._most_behind_s = 0.0
        self._is_whole = False
        self._counted = asyncio.Event()

    async def run(self, orders: AsyncIterator[dict[str, Any]]) -> None:
        """Watch until told to finish, then report."""
        order = self._order
        addresses = [(str(host), int(port)) for host, port in order.addresses]
        tasks = [
            asyncio.create_task(each.run(addresses, order.silence_s)) for each in self._watchers
        ]
        ticking = asyncio.create_task(self._tick())
        async for said in orders:
            if "through" in said:
                await self._wait_for(said["through"])
                tell(self._report(said["through"]))
                break
            self._clock_off_s = said.get("clock_off_s", self._clock_off_s)
            if said.get("forget_lag"):
                self._most_behind_s = 0.0
        for task in (*tasks, ticking):
            task.cancel()

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            self._counted.set()
            self._counted.clear()
            now = time.time() + self._clock_off_s
            behind = max(now - each.cursor - self._steps[each.series] for each in self._watchers)
            self._most_behind_s = max(self._most_behind_s, behind)
            connected = sum(each.is_following for each in self._watchers)
            is_whole = behind <= self._order.late_s and connected == len(self._watchers)
            if is_whole != self._is_whole:
                self._is_whole = is_whole
                tell({"is_whole": is_whole, "at": time.monotonic(), "connected": connected})

    async def _wait_for(self, through: dict[str, int]) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(END_TIMEOUT_S):
                while any(each.cursor < through[each.series] for each in self._watchers):
                    await self._counted.wait()

    def _report(self, through: dict[str, int]) -> dict[str, Any]:
        codes: Counter[int] = Counter()
        for each in self._watchers:
            step, since = self._steps[each.series], self._order.since[each.series]
            each.received.lost += each.missing(since + step, through[each.series], step)
            codes += each.codes
        return {
            "received": {series: asdict(told) for series, told in self._received.items()},
            "most_behind_s": self._most_behind_s,
            "codes": codes,
        }


def handshake(address: Address) -> bytes:
    """What opens a WebSocket."""
    key = base64.b64encode(os.urandom(16)).decode()
    return (
        f"GET {PATH} HTTP/1.1\r\nHost: {address[0]}:{address[1]}\r\nUpgrade: websocket\r\n"
        f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n"
    ).encode()


def tell(message: dict[str, Any]) -> None:
    """Write one line to whoever started us."""
    line = orjson.dumps(message, option=orjson.OPT_APPEND_NEWLINE | orjson.OPT_NON_STR_KEYS)
    sys.stdout.buffer.write(line)
    sys.stdout.buffer.flush()


async def _told() -> AsyncIterator[dict[str, Any]]:
    """What whoever started us says, line by line, until they are gone."""
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        yield orjson.loads(line)


async def main() -> None:
    """Take the order and carry it out."""
    told = _told()
    await Crowd(Order(**await anext(told))).run(told)


if __name__ == "__main__":
    uvloop.run(main())
