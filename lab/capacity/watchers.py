"""A process of many watchers, which keep the sync contract and note all that they are told.

Run as `python -m lab.capacity.watchers ORDER`, with an `Order` as JSON. It reads one
request a line from standard input, does it, and answers with one line of JSON: `attach`, `status`,
`storm`, `pages`, `move`, `finish` (see `Crew`). End of input ends it. `crowd.py` is its parent.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import orjson
import uvloop

from lab.capacity.ledger import Place, Tally
from lab.capacity.pages import PageReader
from lab.capacity.watcher import Order, Record, Watcher, followed
from market.domain.timeframe import Timeframe

CONNECT_AT_ONCE = 50
LIVE_TIMEOUT_S = 60.0
LEAVE_TIMEOUT_S = 20.0
CHECK_S = 1.0


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
            jobs.append((url, followed(self._order, number)[0]))
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
        places = {
            name: Place(Timeframe.parse(name.rpartition(":")[2]).seconds, heads[name])
            for name in followed(self._order, number)
        }
        return Watcher(number, self._order, places, record=self._record, pages=self._pages)

    async def _head(self, series: str) -> int | None:
        if not self._order.reads_heads:
            return None
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
