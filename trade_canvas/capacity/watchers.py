"""A process of many watchers, which keep the sync contract and note all that they are told.

Run as `python -m trade_canvas.capacity.watchers ORDER`, with an `Order` as JSON. It reads one
request a line from standard input, does it, and answers with one line of JSON: `attach`, `status`,
`storm`, `pages`, `move`, `finish` (see `Crew`). End of input ends it. `crowd.py` is its parent.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import sys
import time
from array import array
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

import orjson
import uvloop

from market.domain.timeframe import Timeframe
from trade_canvas.capacity.ledger import Place, Tally
from trade_canvas.capacity.pages import PageReader
from trade_canvas.capacity.sockets import Socket, connect

CONNECT_TIMEOUT_S = 20.0
CONNECT_AT_ONCE = 50
LIVE_TIMEOUT_S = 60.0
LEAVE_TIMEOUT_S = 20.0
BACKOFF_S = 0.25
BACKOFF_MAX_S = 5.0
CHECK_S = 1.0
NOTES_KEPT = 5
FORMING = b'{"type":"candle_forming"'


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What one process of watchers does.

    Watcher n (from `first` on) begins at the n-th address and follows `series_each` series, from
    the n-th on; when its connection ends it goes to the next address, with what it has.
    """

    urls: tuple[str, ...]
    series: tuple[str, ...]
    watchers: int
    first: int = 0
    series_each: int = 1
    path: str = "/ws/market"
    stale_after_s: float = 0.0
    """Seconds of silence after which a connection is given up for another; 0 for never."""


@dataclass(frozen=True, slots=True)
class Heard:
    """What a message says, as far as a watcher minds."""

    kind: str
    series: str
    times: tuple[int, ...] = ()
    note: str = ""


@lru_cache(maxsize=512)
def understand(payload: bytes) -> Heard:
    """Read a message; watchers in step get the same bytes, so most have been read before."""
    message = orjson.loads(payload)
    kind, series = message["type"], message.get("series_id", "")
    if kind == "candle_closed":
        return Heard(kind, series, (message["candle"]["candle_time"],))
    if kind == "candles_batch":
        return Heard(kind, series, tuple(each["candle_time"] for each in message["candles"]))
    if kind == "gap":
        return Heard(kind, series, (message["expected_next_time"], message["actual_time"]))
    return Heard(kind, series, note=f"{message.get('code') or message.get('event')}")


class Record:
    """What all watchers of this process share: arrivals of live candles, and counts."""

    def __init__(self) -> None:
        self.arrivals: dict[tuple[str, int], array[float]] = {}
        """Unix seconds at which each closed candle came to each watcher that was live by then."""
        self.counts: Counter[str] = Counter()
        self.notes: list[str] = []

    def arrived(self, series: str, time: int, at: float) -> None:
        """A candle that closed after its watcher had subscribed."""
        key = (series, time)
        if (times := self.arrivals.get(key)) is None:
            times = self.arrivals[key] = array("d")
        times.append(at)

    def note(self, text: str) -> None:
        """Something worth a look in the report."""
        self.counts["notes"] += 1
        if len(self.notes) < NOTES_KEPT:
            self.notes.append(text)


class Watcher:
    """One client of the sync contract: subscribes, resumes elsewhere, recovers gaps over HTTP."""

    def __init__(
        self,
        number: int,
        order: Order,
        places: dict[str, Place],
        *,
        record: Record,
        pages: PageReader,
    ) -> None:
        self.number = number
        self.places = places
        self.live = asyncio.Event()
        """Set while something has come of every series since it last subscribed."""
        self.gone = asyncio.Event()
        """Set while it has no connection."""
        self.gone.set()
        self.heard_at = 0.0
        self._order = order
        self._record = record
        self._pages = pages
        self._turn = number
        self._failures = 0
        self._is_leaving = False
        self._awaited: set[str] = set()
        self._socket: Socket | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        """Its present address."""
        return self._order.urls[self._turn % len(self._order.urls)]

    async def connect(self) -> None:
        """Open a connection at its present address; a failure is tried again elsewhere."""
        self.heard_at = time.time()
        try:
            self._socket = await connect(self, self.url, self._order.path, CONNECT_TIMEOUT_S)
        except (OSError, TimeoutError) as error:
            self._record.note(f"connect to {self.url}: {error!r}")
            self._again()
        else:
            self.gone.clear()

    def use(self, order: Order) -> None:
        """Take the addresses of another order from the next connection on."""
        self._order = order

    def drop(self) -> None:
        """Lose the connection as by a failure of the network, and come back at once."""
        if self._socket is not None:
            self._failures = -1
            self.live.clear()
            self._socket.drop()

    def leave(self) -> None:
        """End the connection for good."""
        self._is_leaving = True
        for task in self._tasks:
            task.cancel()
        if self._socket is not None:
            self._socket.leave()

    def opened(self) -> None:
        """See Listener: subscribe, from where it is."""
        assert self._socket is not None
        self._awaited = set(self.places)
        for series, place in self.places.items():
            place.subscribed_at = time.time()
            hello = {"type": "subscribe", "series_id": series, "since": place.cursor}
            self._socket.send(orjson.dumps({**hello, "supports_batch": True}))

    def heard(self, payload: bytes, at: float) -> None:
        """See Listener."""
        self.heard_at = at
        if payload.startswith(FORMING):
            self._record.counts["forming"] += 1
            if self._awaited:
                self._came(understand(payload).series)
            return
        message = understand(payload)
        place = self.places.get(message.series)
        if place is None:
            self._record.note(f"{message.kind} {message.note}")
        elif message.kind in ("candle_closed", "candles_batch"):
            self._take(message, place, at)
        else:
            self._mind(message, place)

    def lost(self, code: int) -> None:
        """See Listener: go on elsewhere."""
        self.live.clear()
        self.gone.set()
        self._socket = None
        if not self._is_leaving:
            self._record.counts[f"closed_{code}"] += 1
            self._turn += 1
            self._again()

    def _take(self, message: Heard, place: Place, at: float) -> None:
        if self._awaited:
            self._came(message.series)
        self._record.counts["closed_frames"] += 1
        for time_ in message.times:
            place.take(time_)
            if time_ + place.step >= place.subscribed_at:
                self._record.arrived(message.series, time_, at)

    def _came(self, series: str) -> None:
        self._awaited.discard(series)
        if not self._awaited:
            self._failures = 0
            self.live.set()

    def _mind(self, message: Heard, place: Place) -> None:
        self._record.counts[message.kind] += 1
        if message.kind == "gap":
            place.gaps += 1
            self._spawn(self._recover(message, place))
        elif message.kind == "error":
            self._record.note(f"error {message.note} of {message.series}")

    async def _recover(self, message: Heard, place: Place) -> None:
        expected_next, actual = message.times
        found = await self._pages.after(self.url, message.series, expected_next - place.step)
        place.recover(time_ for time_ in found if time_ < actual)
        self._record.counts["recovered"] += 1

    def _again(self) -> None:
        if not self._is_leaving:
            self._spawn(self._resume())

    async def _resume(self) -> None:
        """Come back after a pause that grows with each failure; at once after a drop of ours."""
        if self._failures >= 0:
            most = min(BACKOFF_S * 2.0**self._failures, BACKOFF_MAX_S)
            await asyncio.sleep(random.uniform(0.2, 1.0) * most)
        self._failures = min(self._failures + 1, 10)
        await self.connect()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


class Crew:
    """All watchers of the process, and what they are asked to do."""

    def __init__(self, order: Order) -> None:
        self._order = order
        self._record = Record()
        self._pages = PageReader()
        self._watchers: list[Watcher] = []

    async def attach(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """Connect and subscribe `watchers` more (all of the order's, if not given).

        Answers how many are live within the time-out and the seconds that each took.
        """
        count = asked.get("watchers", self._order.watchers)
        heads = {series: await self._head(series) for series in self._order.series}
        first = self._order.first + len(self._watchers)
        new = [self._watcher(first + each, heads) for each in range(count)]
        self._watchers += new
        gate = asyncio.Semaphore(CONNECT_AT_ONCE)

        async def join(watcher: Watcher) -> float | None:
            async with gate:
                began = time.monotonic()
                await watcher.connect()
                return await self._until_live(watcher, began)

        return self._taken(await asyncio.gather(*(join(watcher) for watcher in new)))

    async def status(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """Answer how things are now."""
        return {
            "open": sum(not watcher.gone.is_set() for watcher in self._watchers),
            "live": sum(watcher.live.is_set() for watcher in self._watchers),
            "counts": dict(self._record.counts),
            "notes": self._record.notes,
        }

    async def storm(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """Lose all connections at once and come back at once, each to its next address."""
        began = time.monotonic()
        for watcher in self._watchers:
            watcher.drop()
        return self._taken(
            await asyncio.gather(*(self._until_live(each, began) for each in self._watchers))
        )

    async def pages(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """Read the newest `limit` candles `count` times at once, as so many fresh pages would."""
        jobs = []
        for each in range(asked["count"]):
            number = self._order.first + each
            url = self._order.urls[number % len(self._order.urls)]
            jobs.append((url, self._order.series[number % len(self._order.series)]))
        return await self._pages.load(jobs, asked["limit"])

    async def move(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """From now on use these addresses, when a connection is made."""
        urls = tuple(asked["urls"])
        self._order = Order(**{**asdict(self._order), "urls": urls})
        for watcher in self._watchers:
            watcher.use(self._order)
        return {}

    async def finish(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """Leave, and answer the tally against `expected`: open times in the store, by series.

        Also every arrival of a live candle, as [series, open time, [Unix seconds, …]].
        """
        for watcher in self._watchers:
            watcher.leave()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LEAVE_TIMEOUT_S):
                for watcher in self._watchers:
                    await watcher.gone.wait()
        tally = self._tally(asked["expected"])
        arrivals = [
            [series, time_, [round(at, 5) for at in times]]
            for (series, time_), times in self._record.arrivals.items()
        ]
        counts, notes = dict(self._record.counts), self._record.notes
        return {"tally": asdict(tally), "counts": counts, "notes": notes, "arrivals": arrivals}

    async def close(self) -> None:
        """Close what is kept open for HTTP."""
        await self._pages.close()

    async def keep_fresh(self) -> None:
        """Give up connections on which nothing has come for too long; runs until cancelled."""
        while True:
            await asyncio.sleep(CHECK_S)
            oldest = time.time() - self._order.stale_after_s
            for watcher in self._watchers:
                if self._order.stale_after_s and watcher.heard_at < oldest:
                    watcher.drop()

    def _tally(self, expected: Mapping[str, Sequence[int]]) -> Tally:
        total = Tally()
        for watcher in self._watchers:
            for series, place in watcher.places.items():
                name = f"watcher {watcher.number} {series}"
                total.add(place.tally(name, expected.get(series, ())))
        return total

    def _watcher(self, number: int, heads: Mapping[str, int | None]) -> Watcher:
        series, each = self._order.series, self._order.series_each
        names = [series[(number + offset) % len(series)] for offset in range(each)]
        places = {
            name: Place(Timeframe.parse(name.rpartition(":")[2]).seconds, heads[name])
            for name in names
        }
        return Watcher(number, self._order, places, record=self._record, pages=self._pages)

    async def _head(self, series: str) -> int | None:
        newest = await self._pages.newest(self._order.urls[0], series)
        return newest[-1] if newest else None

    async def _until_live(self, watcher: Watcher, began: float) -> float | None:
        """Seconds since `began` until it is live; None when it is not within the time-out."""
        try:
            async with asyncio.timeout(LIVE_TIMEOUT_S):
                await watcher.live.wait()
        except TimeoutError:
            return None
        return time.monotonic() - began

    def _taken(self, seconds: Iterable[float | None]) -> dict[str, Any]:
        every = list(seconds)
        took = [round(each, 4) for each in every if each is not None]
        return {"asked": len(every), "live": len(took), "seconds": took}


async def serve(order: Order) -> None:
    """Do what is asked on standard input until its end."""
    crew = Crew(order)
    lines = asyncio.StreamReader(limit=1 << 26)
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(lines), sys.stdin
    )
    does: dict[str, Callable[[Mapping[str, Any]], Awaitable[dict[str, Any]]]] = {
        "attach": crew.attach,
        "status": crew.status,
        "storm": crew.storm,
        "pages": crew.pages,
        "move": crew.move,
        "finish": crew.finish,
    }
    keeping = asyncio.create_task(crew.keep_fresh())
    while line := await lines.readline():
        asked = orjson.loads(line)
        answer = await does[asked["do"]](asked)
        sys.stdout.buffer.write(orjson.dumps(answer) + b"\n")
        sys.stdout.buffer.flush()
    keeping.cancel()
    await crew.close()


if __name__ == "__main__":
    uvloop.run(serve(Order(**orjson.loads(sys.argv[1]))))
