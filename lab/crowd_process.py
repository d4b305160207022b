"""One process full of watchers, which does what its parent (lab.crowd) asks for over a pipe."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from array import array
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection
from pathlib import Path

import uvloop

from lab.browser_drawings import Shown
from lab.browser_page import HTTP_BYTES, BrowserPage, end_tasks
from lab.client import Order, Record, Watcher
from lab.exchange import seconds_of
from lab.ledger import Place, Tally
from lab.pages import PageLoads, PageReader
from lab.waiting import WaitTimeout, eventually, patience

CONNECT_AT_ONCE = 50
LIVE_S = 20.0
LOAD_S = 20.0
LAST_CANDLES_S = 10.0
LEAVE_S = 5.0
CHECK_S = 1.0
LAG_CHECK_S = 0.05
DIFFERING = "pages with other drawings than stored"


@dataclass(slots=True)
class Joined:
    """How many watchers were to become live, how many did, and the seconds that each took."""

    asked: int = 0
    live: int = 0
    seconds: list[float] = field(default_factory=list)

    def add(self, other: Joined) -> None:
        """Add the watchers of another process."""
        self.asked += other.asked
        self.live += other.live
        self.seconds += other.seconds


@dataclass(frozen=True, slots=True)
class Status:
    """Counts so far; since when (monotonic) all watchers are up to date, or what they lack."""

    counts: Counter[str]
    whole_since: float | None
    lacks: str


@dataclass(slots=True)
class Received:
    """Everything that watchers received.

    By (series, open time) of closed candles: `arrivals` in Unix seconds at the watchers that were
    live, and `values` as first received. `drawn` and its tally are the drawings at pages.
    """

    tally: Tally = field(default_factory=Tally)
    counts: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)
    most_behind_s: float = 0.0
    arrivals: dict[tuple[str, int], array[float]] = field(default_factory=dict)
    drawn_tally: Tally = field(default_factory=Tally)
    drawn: dict[tuple[str, int], array[float]] = field(default_factory=dict)
    values: dict[tuple[str, int], tuple[float, ...]] = field(default_factory=dict)

    def add(self, other: Received) -> None:
        """Add what the watchers of another process received."""
        self.tally.add(other.tally)
        self.counts.update(other.counts)
        self.notes += other.notes
        self.most_behind_s = max(self.most_behind_s, other.most_behind_s)
        for key, values in other.values.items():
            self.tally.differing += self.values.setdefault(key, values) != values
        for key, times in other.arrivals.items():
            self.arrivals.setdefault(key, array("d")).extend(times)
        self.drawn_tally.add(other.drawn_tally)
        for key, times in other.drawn.items():
            self.drawn.setdefault(key, array("d")).extend(times)


class Crew:
    """All watchers of this process; every public coroutine but `watch` is a request."""

    def __init__(self, order: Order) -> None:
        self._order = order
        self._record = Record()
        self._pages = PageReader()
        self._watchers: list[Watcher] = []
        self._now: Callable[[], float] = time.time
        self._most_behind_s = 0.0
        self._whole_since: float | None = None
        self._lacks = "not looked at yet"

    @property
    def counts(self) -> Counter[str]:
        """What the watchers have counted so far."""
        return self._record.counts

    async def attach(self, watchers: int | None = None) -> Joined:
        """Connect and subscribe so many more (all of the order's, if not given).

        Returns how many became live within the limit, and the seconds that each took.
        """
        count = self._order.watchers if watchers is None else watchers
        heads: Mapping[str, int | None] | None = {} if self._order.pages else self._order.since
        if heads is None:
            heads = {series: await self._newest(series) for series in self._order.series}
        first = self._order.first + len(self._watchers)
        new = [self._watcher(first + each, heads) for each in range(count)]
        self._watchers += new
        gate = asyncio.Semaphore(CONNECT_AT_ONCE)

        async def join(watcher: Watcher) -> float | None:
            async with gate:
                began = time.monotonic()
                await watcher.load()
                await watcher.connect()
                return await _until_live(watcher, began)

        return _joined(await asyncio.gather(*(join(watcher) for watcher in new)))

    async def status(self) -> Status:
        """Return how things are now."""
        return Status(self.counts, self._whole_since, self._lacks)

    async def adjust(
        self,
        *,
        clock_offset_s: float | None = None,
        clock_stands_at_s: float | None = None,
        forget_lag: bool = False,
    ) -> None:
        """Expect candles by a clock that is off by so much, or that stands still at a time.

        `forget_lag`: forget how far watchers were behind.
        """
        if clock_offset_s is not None:
            self._now = lambda: time.time() + clock_offset_s
        if clock_stands_at_s is not None:
            self._now = lambda: clock_stands_at_s
        if forget_lag:
            self._most_behind_s = 0.0

    async def storm(self) -> Joined:
        """Lose all connections at once and reconnect at once, each at its next address."""
        began = time.monotonic()
        for watcher in self._watchers:
            watcher.drop()
        return _joined(await asyncio.gather(*(_until_live(each, began) for each in self._watchers)))

    async def pages(self, count: int, limit: int) -> PageLoads:
        """Read the newest `limit` candles `count` times at once, as so many fresh pages would."""
        numbers = range(self._order.first, self._order.first + count)
        if self._order.pages:
            return await self._load_pages(numbers)
        jobs = [(self._order.url_of(n), self._order.followed_by(n)[0]) for n in numbers]
        return await self._pages.load(jobs, limit)

    async def _load_pages(self, numbers: Iterable[int]) -> PageLoads:
        """Have as many new pages load at once, each until it has candles and drawings."""
        loads = PageLoads(asked=len(list(numbers)))
        before = self._record.counts[HTTP_BYTES]

        async def one(number: int) -> None:
            began, whole = time.monotonic(), asyncio.Event()
            url, series = self._order.url_of(number), self._order.followed_by(number)[0]
            page = BrowserPage(
                url,
                series,
                candles=self._order.page_candles,
                record=self._record,
                changed=lambda *_: whole.set(),
            )

            async def load() -> None:
                await page.load()
                await whole.wait()
                loads.seconds.append(round(time.monotonic() - began, 4))

            loading = asyncio.create_task(load())
            try:
                done, late = await asyncio.wait({loading}, timeout=patience(LOAD_S))
                loads.wrong.update("TimeoutError" for _ in late)
                await end_tasks(late)
                await asyncio.gather(*done)
            finally:
                await page.close()

        began = time.monotonic()
        await asyncio.gather(*map(one, numbers))
        loads.took = time.monotonic() - began
        loads.bytes = self._record.counts[HTTP_BYTES] - before
        return loads

    async def move(self, urls: Sequence[str]) -> None:
        """Use these addresses for connections from now on."""
        self._order = replace(self._order, urls=tuple(urls))
        for watcher in self._watchers:
            watcher.order = self._order

    async def finish(self, expected: Mapping[str, Sequence[int]], *, wait: bool) -> Received:
        """Leave, and compare with `expected`: open times of closed candles, by series.

        With `wait`, watchers that lack the last of them are given some time before.
        """
        last = {series: max(times, default=0) for series, times in expected.items()}
        with contextlib.suppress(WaitTimeout):
            await eventually(lambda: not wait or self._have(last), LAST_CANDLES_S)
        await self._check_drawings()
        for watcher in self._watchers:
            watcher.leave()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience(LEAVE_S)):
                for watcher in self._watchers:
                    await watcher.gone.wait()
        await asyncio.gather(*(each.page.close() for each in self._watchers if each.page))
        tally, drawn_tally = Tally(), Tally()
        for watcher in self._watchers:
            for series, place in watcher.places.items():
                name = f"watcher {watcher.number} {series}"
                tally.add(place.tally(name, expected.get(series, ())))
                if watcher.drawn is not None:
                    drawn_tally.add(watcher.drawn.tally(name, expected.get(series, ())))
        record = self._record
        return Received(
            tally,
            record.counts,
            record.notes,
            self._most_behind_s,
            dict(record.arrivals),
            drawn_tally,
            dict(record.drawn),
            record.values,
        )

    async def watch(self) -> None:
        """Replace silent connections, and notice when watchers are up to date; runs for ever."""
        while True:
            await asyncio.sleep(LAG_CHECK_S if self._order.late_s else CHECK_S)
            oldest = time.time() - self._order.silent_s
            for watcher in self._watchers:
                if self._order.silent_s and watcher.heard_at < oldest:
                    watcher.drop()
            if self._order.late_s and self._watchers:
                self._measure_lag()

    async def close(self) -> None:
        """Close the HTTP connections."""
        await self._pages.close()

    def _measure_lag(self) -> None:
        now = self._now()
        behind = max(watcher.behind_s(now) for watcher in self._watchers)
        self._most_behind_s = max(self._most_behind_s, behind)
        apart = sum(not watcher.is_subscribed for watcher in self._watchers)
        if apart or behind > self._order.late_s:
            self._whole_since = None
            self._lacks = f"{apart} not connected, at most {behind:.1f} s behind"
        elif self._whole_since is None:
            self._whole_since = time.monotonic()

    async def _check_drawings(self) -> None:
        """Count the pages whose drawings are not those that are stored."""
        alike: defaultdict[Shown, list[Watcher]] = defaultdict(list)
        for watcher in self._watchers:
            if watcher.page is not None and (shown := watcher.page.drawings.shown) is not None:
                alike[shown].append(watcher)
        for shown, watchers in alike.items():
            page = watchers[0].page
            if page is not None and not await page.is_stored(shown):
                self._record.counts[DIFFERING] += len(watchers)
                self._record.note(f"watcher {watchers[0].number} has other drawings than stored")

    def _have(self, last: Mapping[str, int]) -> bool:
        """Return whether every watcher has the last candle of each series, pages also drawn."""
        return all(
            (place.cursor or 0) >= last.get(name, 0)
            and (watcher.page is None or watcher.drawn_to >= last.get(name, 0))
            for watcher in self._watchers
            for name, place in watcher.places.items()
        )

    def _watcher(self, number: int, heads: Mapping[str, int | None]) -> Watcher:
        places = {
            name: Place(seconds_of(name), heads.get(name))
            for name in self._order.followed_by(number)
        }
        return Watcher(number, self._order, places, record=self._record, pages=self._pages)

    async def _newest(self, series: str) -> int | None:
        found = await self._pages.newest(self._order.urls[0], series)
        return found[-1] if found else None


async def _until_live(watcher: Watcher, began: float) -> float | None:
    """Return the seconds from `began` until the watcher is live, None past the limit."""
    try:
        async with asyncio.timeout(patience(LIVE_S)):
            await watcher.live.wait()
    except TimeoutError:
        return None
    return time.monotonic() - began


def _joined(seconds: Iterable[float | None]) -> Joined:
    every = list(seconds)
    took = [round(each, 4) for each in every if each is not None]
    return Joined(len(every), len(took), took)


async def serve(order: Order, pipe: Connection) -> None:
    """Answer requests, which are names of Crew's coroutines and their arguments."""
    crew = Crew(order)
    watching = asyncio.create_task(crew.watch())
    with contextlib.suppress(EOFError):
        while True:
            name, arguments, options = await asyncio.to_thread(pipe.recv)
            pipe.send(await getattr(crew, name)(*arguments, **options))
    watching.cancel()
    await crew.close()


def run(order: Order, pipe: Connection, log: Path) -> None:
    """Be the process: answer until the parent closes its end of the pipe."""
    # Ctrl-C is for the parent, whose end closes the pipe.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with log.open("ab") as file:
        os.dup2(file.fileno(), 2)
    # Pages cancel requests that are connecting, after which uvloop may close another's socket.
    start = asyncio.run if order.pages else uvloop.run
    start(serve(order, pipe))
