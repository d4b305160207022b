"""One watcher: a client of the sync contract that notes all that it is told."""

from __future__ import annotations

import asyncio
import random
import time
from array import array
from collections import Counter
from collections.abc import Coroutine
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import orjson

from lab.capacity.ledger import Place
from lab.capacity.pages import PageReader
from lab.capacity.sockets import Socket, connect

CONNECT_TIMEOUT_S = 20.0
BACKOFF_S = 0.25
BACKOFF_MAX_S = 5.0
NOTES_KEPT = 5
FORMING = b'{"type":"candle_forming"'


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What one process of watchers does.

    Watchers (from number `first` on) go to the addresses in turn, and to the series in turn at each
    address, `series_each` of them. When its connection ends, a watcher goes to the next address,
    with what it has.
    """

    urls: tuple[str, ...]
    series: tuple[str, ...]
    watchers: int
    first: int = 0
    series_each: int = 1
    path: str = "/ws/market"
    stale_after_s: float = 0.0
    """Seconds of silence after which a connection is given up for another; 0 for never."""
    reads_heads: bool = True
    """Whether to begin at the newest stored candle, as a page does; else at whatever comes."""


def followed(order: Order, number: int) -> list[str]:
    """The series that watcher `number` follows."""
    series, first = order.series, number // len(order.urls)
    return [series[(first + offset) % len(series)] for offset in range(order.series_each)]


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
            await connect(self, self.url, self._order.path, CONNECT_TIMEOUT_S)
        except (OSError, TimeoutError) as error:
            self._record.note(f"connect to {self.url}: {error!r}")
            self._turn += 1
            self._again()

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

    def connected(self, socket: Socket) -> None:
        """See Listener."""
        self._socket = socket
        self.gone.clear()

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

    def pinged(self) -> None:
        """See Listener."""
        self.heard_at = time.time()

    def lost(self, code: int) -> None:
        """See Listener: go on elsewhere."""
        self.live.clear()
        self.gone.set()
        self._socket = None
        if not self._is_leaving:
            self._record.counts[f"closed_{code}"] += 1
            if self._failures >= 0:
                self._record.note(f"{self.url} closed with {code}")
            self._turn += 1
            self._again()

    def _take(self, message: Heard, place: Place, at: float) -> None:
        if self._awaited:
            self._came(message.series)
        self._record.counts["closed_frames"] += 1
        self._record.counts["candles"] += len(message.times)
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
