"""A client of the sync contract (docs/sync.md) that records everything it receives.

It subscribes from the newest candle it has, resumes at another address when its connection ends,
subscribes again after an error, and reads gaps over HTTP.
"""

from __future__ import annotations

import asyncio
import random
import time
from array import array
from collections import Counter, defaultdict
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import orjson

from lab.browser_page import BrowserPage
from lab.exchange import seconds_of
from lab.ledger import Place
from lab.pages import PageReader
from lab.sockets import Socket, connect

CONNECT_TIMEOUT_S = 20.0
HELLO = b'{"type":"hello","heartbeat":true,"health":true}'
DRAWINGS = "drawings"
DRAW_MESSAGE = b'{"type":"draw_'
KNOWN = ("system", "heartbeat", "health")
REWRITTEN = ("candle.revised", "factor.rebuild")
BACKOFF_S = 0.2
NOTES_KEPT = 5
FORMING = b'{"type":"candle_forming"'


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What watchers are to do.

    They (from number `first` on) go to the addresses in turn, and to the series in turn at each
    address, `series_each` of them.
    """

    urls: tuple[str, ...]
    series: tuple[str, ...]
    watchers: int
    first: int = 0
    series_each: int = 1
    pages: bool = False
    """Whether each of them does all that a page in a browser does."""
    page_candles: int = 2000
    """Candles that a page requests first: as many as there are, or it has older ones fetched."""
    path: str = "/ws/market"
    since: Mapping[str, int] | None = None
    """Candles to begin after, by series; None for the newest stored one, as a page does."""
    backoff_max_s: float = 5.0
    silent_s: float = 0.0
    """Seconds without a message after which a connection is replaced; 0 for never."""
    late_s: float = 0.0
    """Seconds behind its series up to which a watcher counts as up to date; 0: not looked at."""

    def followed_by(self, number: int) -> list[str]:
        """Return the series that watcher `number` follows."""
        first = number // len(self.urls)
        return [self.series[(first + n) % len(self.series)] for n in range(self.series_each)]

    def url_of(self, number: int) -> str:
        """Return the address whose turn it is."""
        return self.urls[number % len(self.urls)]


@dataclass(frozen=True, slots=True)
class Message:
    """The part of a message that a watcher uses; `times` and `values` are of closed candles.

    The times of a gap are those around it.
    """

    kind: str
    series: str
    times: tuple[int, ...] = ()
    values: tuple[tuple[float, ...], ...] = ()
    note: str = ""


@lru_cache(maxsize=512)
def parse(payload: bytes) -> Message:
    """Parse a message. Many watchers get the same bytes, so most were parsed before."""
    body = orjson.loads(payload)
    kind, series = body["type"], body.get("series_id", "")
    if kind in ("candle_closed", "candles_batch"):
        candles = body["candles"] if kind == "candles_batch" else [body["candle"]]
        times = tuple(each["candle_time"] for each in candles)
        return Message(kind, series, times, tuple(tuple(each.values())[1:] for each in candles))
    if kind == "gap":
        return Message(kind, series, (body["expected_next_time"], body["actual_time"]))
    return Message(kind, series, note=f"{body.get('code') or body.get('event')}")


class Record:
    """What the watchers of one process have in common, by (series, open time) of closed candles."""

    def __init__(self) -> None:
        self.values: dict[tuple[str, int], tuple[float, ...]] = {}
        """The values as first received."""
        self.arrivals: dict[tuple[str, int], array[float]] = defaultdict(lambda: array("d"))
        """Unix seconds at the watchers that had subscribed before the candle closed."""
        self.drawn: dict[tuple[str, int], array[float]] = defaultdict(lambda: array("d"))
        """The same of its drawings, at pages."""
        self.counts: Counter[str] = Counter()
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        """Keep something for the report."""
        self.counts["notes"] += 1
        if len(self.notes) < NOTES_KEPT:
            self.notes.append(text)


class Watcher:
    """One client, over as many connections as it takes; a Listener."""

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
        self.order = order
        self.places = places
        self.page: BrowserPage | None = None
        """What makes a page of it, after `load`."""
        self.drawn: Place | None = None
        """A page's place in the drawings of its series."""
        self.drawn_to = 0
        """The newest candle of which a page has the drawings."""
        self.is_subscribed = False
        self.live = asyncio.Event()
        """Set while something has come of every series since it last subscribed."""
        self.gone = asyncio.Event()
        """Set while it has no connection."""
        self.gone.set()
        self.heard_at = 0.0
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
        """The address whose turn it is."""
        return self.order.url_of(self._turn)

    async def load(self) -> None:
        """Load the page of the first series, if watchers are to be pages."""
        if not self.order.pages:
            return
        (series,) = self.order.followed_by(self.number)
        self.page = BrowserPage(
            self.url,
            series,
            candles=self.order.page_candles,
            record=self._record,
            changed=self._drawings_changed,
        )
        self.places = {series: Place(seconds_of(series), await self.page.load())}

    async def connect(self) -> None:
        """Open a connection; after a failure it is tried at the next address."""
        self.heard_at = time.time()
        if self.page is not None:
            self.page.url = self.url
        try:
            await connect(self, self.url, self.order.path, CONNECT_TIMEOUT_S)
        except (OSError, TimeoutError) as error:
            self._record.note(f"connect to {self.url}: {error!r}")
            self._resume_elsewhere()

    def drop(self) -> None:
        """Lose the connection as if the network failed, and reconnect at once."""
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

    def behind_s(self, now: float) -> float:
        """Return how long ago the newest candle that it has closed, of the slowest series."""
        return max(now - (each.cursor or 0) - each.step for each in self.places.values())

    # What a Listener does

    def connected(self, socket: Socket) -> None:
        """Keep the socket."""
        self._socket = socket
        self.gone.clear()

    def opened(self) -> None:
        """Subscribe to every series."""
        self._awaited = set(self.places)
        if self.page is not None and self._socket is not None:
            self._socket.send(HELLO)
            if self.drawn is None:
                self._awaited.add(DRAWINGS)
        for series in self.places:
            self._subscribe(series)
        self.is_subscribed = True

    def received(self, payload: bytes, at: float) -> None:
        """Count a message and do what the contract asks for."""
        self.heard_at = at
        if payload.startswith(FORMING):
            self._record.counts["forming"] += 1
            if self._awaited:
                self._has_come(parse(payload).series)
            return
        if self.page is not None and payload.startswith(DRAW_MESSAGE):
            self._record.counts["draw messages"] += 1
            self.page.drawings.received(payload, at)
            return
        message = parse(payload)
        place = self.places.get(message.series)
        if message.values and place is not None:
            self._take(message, place, at)
            return
        self._record.counts[message.kind] += 1
        self._react(message, place)

    def pinged(self) -> None:
        """The server is there."""
        self.heard_at = time.time()

    def closed(self, code: int, reason: str) -> None:
        """Reconnect at the next address."""
        self.is_subscribed = False
        self.live.clear()
        self.gone.set()
        self._socket = None
        if not self._is_leaving:
            self._record.counts[f"closed_{code}"] += 1
            if self._failures >= 0:
                self._record.note(f"{self.url} closed with {code}")
            self._resume_elsewhere()

    def _react(self, message: Message, place: Place | None) -> None:
        """Do what a message without candles asks for."""
        if message.kind == "gap" and place is not None:
            place.gaps += 1
            self._spawn(self._recover(message, place))
        elif message.kind == "error":
            self._record.note(f"error {message.note} of {message.series}")
            self._spawn(self._subscribe_again(message.series))
        elif message.kind == "system" and self.page is not None and message.note in REWRITTEN:
            self.page.rewritten()
        elif message.kind not in KNOWN:
            self._record.note(f"{message.kind} {message.note}")

    def _subscribe(self, series: str) -> None:
        assert self._socket is not None
        place = self.places[series]
        place.subscribed_at = time.time()
        body = {"type": "subscribe", "series_id": series, "since": place.cursor}
        more = self.page.subscription() if self.page is not None else {}
        self._socket.send(orjson.dumps({**body, **more, "supports_batch": True}))

    def _take(self, message: Message, place: Place, at: float) -> None:
        if self._awaited:
            self._has_come(message.series)
        self._record.counts["closed_frames"] += 1
        self._record.counts["candles"] += len(message.times)
        for time_, values in zip(message.times, message.values, strict=True):
            place.take(time_)
            key = (message.series, time_)
            place.differing += self._record.values.setdefault(key, values) != values
            if time_ + place.step >= place.subscribed_at:
                self._record.arrivals[key].append(at)
        if self.page is not None:
            self.page.drawings.candle_closed(message.times[-1])

    def _drawings_changed(self, to_time: int, at: float, over_socket: bool) -> None:
        """Note the drawings of the candles since those that the page had, up to `to_time`."""
        self._has_come(DRAWINGS)
        (series,) = self.order.followed_by(self.number)
        if self.drawn is None:
            self.drawn, self.drawn_to = Place(seconds_of(series), to_time), to_time
        step = self.drawn.step
        times = range(self.drawn_to + step, to_time + step, step)
        self.drawn_to = to_time
        if not over_socket:
            self.drawn.recover(times)
        place = self.places.get(series)
        for time_ in times:
            if over_socket:
                self.drawn.take(time_)
            if place is not None and time_ + step >= place.subscribed_at > 0:
                self._record.drawn[series, time_].append(at)

    def _has_come(self, series: str) -> None:
        if not self._awaited:
            return
        self._awaited.discard(series)
        if not self._awaited:
            self._failures = 0
            self.live.set()

    async def _recover(self, message: Message, place: Place) -> None:
        expected_next, actual = message.times
        found = await self._pages.after(self.url, message.series, expected_next - place.step)
        place.recover(time_ for time_ in found if time_ < actual)
        self._record.counts["recovered"] += 1

    async def _subscribe_again(self, series: str) -> None:
        """Subscribe once more, unless the connection has ended meanwhile."""
        socket = self._socket
        await asyncio.sleep(random.uniform(0.1, 1.0))
        if socket is not None and socket is self._socket:
            for each in [series] if series in self.places else self.places:
                self._subscribe(each)

    def _resume_elsewhere(self) -> None:
        self._turn += 1
        if not self._is_leaving:
            self._spawn(self._resume())

    async def _resume(self) -> None:
        """Reconnect after a pause that grows with each failure; at once after `drop`."""
        if self._failures >= 0:
            most = min(BACKOFF_S * 2.0**self._failures, self.order.backoff_max_s)
            await asyncio.sleep(random.uniform(0.2, 1.0) * most)
        self._failures = min(self._failures + 1, 10)
        await self.connect()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
