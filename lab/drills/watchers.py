"""A process full of watchers that count: `python -m lab.drills.watchers`.

Its order comes as one line of JSON on standard input. It tells on standard output, a line of JSON
each, whenever its watchers become whole or cease to be, what they lack until they are, and at the
end what each of them received.
A watcher does what the sync contract asks of a client: follow, and come back with `since`.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import sys
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import orjson
import uvloop

from lab.capacity.sockets import Socket, connect
from market.domain.series import SeriesId

PATH = "/ws/market"
TICK_S = 0.05
TELL_EVERY_S = 1.0
CONNECT_TIMEOUT_S = 5.0
FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 1.0
FORMING = b'{"type":"candle_forming"'
END_TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What a process of watchers is to do; each series gets `count` watchers from `since` on.

    A watcher is whole while it is connected and at most `late_s` behind the end of its newest
    candle. After `silence_s` without a word it goes elsewhere.
    """

    urls: Sequence[str]
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


class Watcher:
    """Follows one series for as long as it is let, over as many connections as it takes."""

    def __init__(self, series: str, since: int, received: Received) -> None:
        self.series = series
        self.cursor = since
        self.received = received
        self.is_following = False
        # It says that it has the one at `since`.
        self._seen = {since}
        self._socket: Socket | None = None
        self._heard_at = 0.0
        self._gone = asyncio.Event()
        self._failures = 0

    async def run(self, urls: Sequence[str], silence_s: float) -> None:
        """Connect, follow, and do so again elsewhere when that ends."""
        turn = random.randrange(len(urls))
        while True:
            turn += 1
            with contextlib.suppress(OSError, TimeoutError):
                await self._follow(urls[turn % len(urls)], silence_s)
            longest = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0**self._failures)
            self._failures += 1
            await asyncio.sleep(random.uniform(longest / 2, longest))

    async def _follow(self, url: str, silence_s: float) -> None:
        self._gone.clear()
        await connect(self, url, PATH, CONNECT_TIMEOUT_S)
        while not self._gone.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(silence_s / 4):
                    await self._gone.wait()
            if self._socket is not None and time.monotonic() - self._heard_at > silence_s:
                self._socket.drop()

    def connected(self, socket: Socket) -> None:
        """See Listener."""
        self._socket = socket
        self._heard_at = time.monotonic()

    def opened(self) -> None:
        """See Listener: ask for what is missing and for what is to come."""
        self._failures = 0
        self.is_following = True
        self._subscribe()

    def heard(self, payload: bytes, at: float) -> None:
        """See Listener."""
        self._heard_at = time.monotonic()
        if not payload.startswith(FORMING):
            self.take(orjson.loads(payload))

    def pinged(self) -> None:
        """See Listener."""
        self._heard_at = time.monotonic()

    def lost(self, code: int) -> None:
        """See Listener."""
        self.is_following, self._socket = False, None
        self._gone.set()

    def _subscribe(self) -> None:
        assert self._socket is not None
        subscribe = {"type": "subscribe", "series_id": self.series, "since": self.cursor}
        self._socket.send(orjson.dumps({**subscribe, "supports_batch": True}))

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
        pause = random.uniform(FIRST_PAUSE_S, LONGEST_PAUSE_S)
        asyncio.get_running_loop().call_later(pause, self._subscribe_on, self._socket)

    def _subscribe_on(self, socket: Socket | None) -> None:
        if socket is not None and self._socket is socket:
            self._subscribe()

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
        self._tell_at = 0.0
        self._counted = asyncio.Event()

    async def run(self, orders: AsyncIterator[dict[str, Any]]) -> None:
        """Watch until told to finish, then report."""
        order = self._order
        tasks = [
            asyncio.create_task(each.run(order.urls, order.silence_s)) for each in self._watchers
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
            last = max(
                self._watchers, key=lambda each: now - each.cursor - self._steps[each.series]
            )
            behind = now - last.cursor - self._steps[last.series]
            self._most_behind_s = max(self._most_behind_s, behind)
            connected = sum(each.is_following for each in self._watchers)
            is_whole = behind <= self._order.late_s and connected == len(self._watchers)
            if is_whole != self._is_whole:
                self._is_whole = is_whole
                tell({"is_whole": is_whole, "at": time.monotonic()})
            if not is_whole and time.monotonic() >= self._tell_at:
                self._tell_at = time.monotonic() + TELL_EVERY_S
                gone = len(self._watchers) - connected
                tell({"lacks": f"{gone} not connected, {last.series} {behind:.1f} s behind"})

    async def _wait_for(self, through: dict[str, int]) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(END_TIMEOUT_S):
                while any(each.cursor < through[each.series] for each in self._watchers):
                    await self._counted.wait()

    def _report(self, through: dict[str, int]) -> dict[str, Any]:
        for each in self._watchers:
            step, since = self._steps[each.series], self._order.since[each.series]
            each.received.lost += each.missing(since + step, through[each.series], step)
        return {
            "received": {series: asdict(told) for series, told in self._received.items()},
            "most_behind_s": self._most_behind_s,
        }


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
