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
from lab.benchmarks.stack import Server, stack
from lab.benchmarks.watchers import Crowd
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

    crowd: Crowd

    async def deliver(self) -> float:
        """One candle to everybody; the 95th percentile of its delivery in milliseconds."""
        candle_time = next(TIMES)
        candle = Candle(**candle_body(candle_time))
        series = SeriesId.parse(SERIES)
        change = await asyncio.to_thread(pipeline().ingest, series, [candle])
        self.crowd.expect(b'candle_time":%d' % candle_time)
        start = time.perf_counter()
        await publish_change(change)
        return await spread(self.crowd, start)


@dataclass(slots=True)
class Limit:
    """Sends to a bare broadcast server."""

    crowd: Crowd
    sender: Any

    async def deliver(self) -> float:
        """The same message, the same measure."""
        candle_time = next(TIMES)
        body = {"type": "candle_closed", "series_id": SERIES}
        text = orjson.dumps({**body, "candle": candle_body(candle_time)}).decode()
        self.crowd.expect(b'candle_time":%d' % candle_time)
        start = time.perf_counter()
        await self.sender.send(text)
        return await spread(self.crowd, start)


async def spread(crowd: Crowd, start: float) -> float:
    """The 95th percentile of the watchers' delays in milliseconds."""
    arrivals = await crowd.arrivals()
    await asyncio.sleep(PAUSE_S)
    return 1000 * percentile([at - start for at in arrivals], 0.95)


async def median_of(side: Ours | Limit) -> float:
    """A round: the median over several deliveries."""
    figures = [await side.deliver() for _ in range(DELIVERIES_A_ROUND)]
    return percentile(figures, 0.5)


async def gather_crowd(server: Server, path: str, count: int) -> tuple[Crowd, float]:
    """Connect `count` watchers; also the server's kilobytes for each of them."""
    before = server.memory()
    crowd = Crowd()
    hello: dict[str, object] = {"type": "subscribe", "series_id": SERIES, "since": next(TIMES)}
    await crowd.connect(server.port, path, count, hello)
    await asyncio.sleep(2)
    return crowd, (server.memory() - before) / count / 1024


async def compare(ours: Server, limit: Server, count: int) -> tuple[Comparison, Comparison]:
    """Both sides with `count` watchers each."""
    our_crowd, our_memory = await gather_crowd(ours, "/ws/market", count)
    limit_crowd, limit_memory = await gather_crowd(limit, "/", count)
    async with connect(f"ws://127.0.0.1:{limit.port}/send", compression=None) as sender:
        a, b = Ours(our_crowd), Limit(limit_crowd, sender)
        figures = await interleave_async(lambda: median_of(a), lambda: median_of(b))
    lost = our_crowd.lost + limit_crowd.lost
    if lost:
        raise RuntimeError(f"{lost} watchers lost their connection")
    await our_crowd.leave()
    await limit_crowd.leave()
    delivery = Comparison(f"delivery p95, {count} watchers", "ms", *figures, Target(1.3))
    memory = Comparison(
        f"memory a watcher, {count} watchers", "KiB", [our_memory], [limit_memory], Target(1.8)
    )
    return delivery, memory


def main() -> None:
    """Print the comparisons. Each count gets fresh servers, so that memory is comparable."""
    print_machine()
    counts = [int(argument) for argument in sys.argv[1:]] or WATCHERS
    with stack() as running:
        for count in counts:
            with running.web() as ours, running.limit("broadcast") as limit:
                for comparison in asyncio.run(compare(ours, limit, count)):
                    print(comparison, flush=True)


if __name__ == "__main__":
    main()
