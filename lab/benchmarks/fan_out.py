"""Delivery of closed candles to 1,000 and 3,000 watchers, against a bare broadcast loop.

Ours: a candle is published on the bus and reaches every watcher of a real web process through the
hub. The limit: a message reaches a `websockets` server, whose loop is one `websockets.broadcast`.
Both are timed from the moment of sending to the arrival at the watcher that 95 % are faster than;
the same process plays the watchers. Also the memory of the server per watcher.
"""

from __future__ import annotations

import asyncio
import itertools
import sys
import time
from dataclasses import dataclass
from typing import Any

import orjson
from websockets.asyncio.client import connect

from lab.benchmarks.harness import Comparison, Target, interleave_async, percentile, print_machine
from lab.benchmarks.stack import bare, stack, web
from lab.benchmarks.watchers import Watchers
from lab.program import Program
from market.bus.publish import publish_change
from market.domain.candle import Candle
from market.domain.series import SeriesId
from market.runtime import pipeline

SERIES = "binance:futures:BTC/USDT:1m"
WATCHERS = (1000, 3000)
DELIVERIES_A_ROUND = 20
PAUSE_S = 0.05
TIMES = itertools.count(1_600_000_000 // 60 * 60, 60)


def candle_body(candle_time: int) -> dict[str, Any]:
    """A candle of usual length."""
    prices = {"open": 64210.5, "high": 64333.25, "low": 64180.75, "close": 64300.5}
    return {"candle_time": candle_time, **prices, "volume": 182.337}


@dataclass(slots=True)
class Ours:
    """Publishes through the bus to a web process."""

    watchers: Watchers

    async def deliver(self) -> float:
        """One candle to everybody; the 95th percentile of its delivery in milliseconds."""
        candle_time = next(TIMES)
        candle = Candle(**candle_body(candle_time))
        series = SeriesId.parse(SERIES)
        change = await asyncio.to_thread(pipeline().ingest, series, [candle])
        self.watchers.expect(b'candle_time":%d' % candle_time)
        start = time.perf_counter()
        await publish_change(change)
        return await spread(self.watchers, start)


@dataclass(slots=True)
class Limit:
    """Sends to a bare broadcast server."""

    watchers: Watchers
    sender: Any

    async def deliver(self) -> float:
        """The same message, the same measure."""
        candle_time = next(TIMES)
        body = {"type": "candle_closed", "series_id": SERIES}
        text = orjson.dumps({**body, "candle": candle_body(candle_time)}).decode()
        self.watchers.expect(b'candle_time":%d' % candle_time)
        start = time.perf_counter()
        await self.sender.send(text)
        return await spread(self.watchers, start)


async def spread(watchers: Watchers, start: float) -> float:
    """The 95th percentile of the watchers' delays in milliseconds."""
    arrivals = await watchers.arrivals()
    await asyncio.sleep(PAUSE_S)
    return 1000 * percentile([at - start for at in arrivals], 0.95)


async def median_of(side: Ours | Limit) -> float:
    """A round: the median over several deliveries."""
    figures = [await side.deliver() for _ in range(DELIVERIES_A_ROUND)]
    return percentile(figures, 0.5)


async def gather(server: Program, path: str, count: int) -> tuple[Watchers, float]:
    """Connect `count` watchers; also the server's kilobytes for each of them."""
    before = server.memory()
    watchers = Watchers()
    hello: dict[str, object] = {"type": "subscribe", "series_id": SERIES, "since": next(TIMES)}
    await watchers.connect(server.url, path, count, hello)
    await asyncio.sleep(2)
    return watchers, (server.memory() - before) / count / 1024


async def compare(ours: Program, limit: Program, count: int) -> tuple[Comparison, Comparison]:
    """Both sides with `count` watchers each."""
    our_watchers, our_memory = await gather(ours, "/ws/market", count)
    limit_watchers, limit_memory = await gather(limit, "/", count)
    async with connect(f"ws{limit.url.removeprefix('http')}/send", compression=None) as sender:
        a, b = Ours(our_watchers), Limit(limit_watchers, sender)
        figures = await interleave_async(lambda: median_of(a), lambda: median_of(b))
    lost = our_watchers.lost + limit_watchers.lost
    if lost:
        raise RuntimeError(f"{lost} watchers lost their connection")
    await our_watchers.leave()
    await limit_watchers.leave()
    delivery = Comparison(f"delivery p95, {count} watchers", "ms", *figures, Target(1.3))
    memory = Comparison(
        f"memory a watcher, {count} watchers", "KiB", [our_memory], [limit_memory], Target(1.8)
    )
    return delivery, memory


def main() -> None:
    """Print the comparisons. Each count gets fresh servers, so that memory is comparable."""
    print_machine()
    counts = [int(argument) for argument in sys.argv[1:]] or WATCHERS
    with stack() as installation:
        for count in counts:
            with web(installation) as ours, bare(installation, "broadcast") as limit:
                for comparison in asyncio.run(compare(ours, limit, count)):
                    print(comparison, flush=True)


if __name__ == "__main__":
    main()
