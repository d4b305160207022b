"""Delivery of closed candles to 1,000 and 3,000 watchers, against a bare broadcast loop.

Ours: a candle is published on the bus and reaches every watcher of a real web process through the
hub. The limit: a message reaches a `websockets` server, whose loop is one `websockets.broadcast`.
Both are timed from the moment of sending to the arrival at the watcher that 95 % are faster than;
this process plays the watchers of both. Also the memory of the server per watcher.
"""

from __future__ import annotations

import asyncio
import itertools
import sys
from collections.abc import Awaitable, Callable
from functools import partial

import orjson
from websockets.asyncio.client import connect

from lab.benchmarks.harness import Comparison, Target, interleave_async, percentile, print_machine
from lab.benchmarks.samples import body
from lab.benchmarks.stack import bare, stack, web
from lab.benchmarks.watchers import Watchers
from lab.program import Program
from market.bus.publish import publish_change
from market.domain.candle import Candle
from market.domain.series import SeriesId
from market.runtime import pipeline

SERIES = SeriesId.parse("binance:futures:BTC/USDT:1m")
WATCHERS = (1000, 3000)
DELIVERIES_A_ROUND = 20
PAUSE_S = 0.05
SETTLE_S = 2
TIMES = itertools.count(1_600_000_000 // 60 * 60, 60)


async def gather(server: Program, path: str, count: int) -> tuple[Watchers, float]:
    """Connect `count` watchers; also return the server's kilobytes for each of them."""
    before = server.memory()
    watchers = Watchers()
    first: dict[str, object] = {
        "type": "subscribe",
        "series_id": str(SERIES),
        "since": next(TIMES),
    }
    await watchers.connect(server.url, path, count, first)
    await asyncio.sleep(SETTLE_S)
    return watchers, (server.memory() - before) / count / 1024


async def median_of(deliver: Callable[[], Awaitable[list[float]]]) -> float:
    """Return the median over a round of deliveries of their p95, in milliseconds."""
    figures = []
    for _ in range(DELIVERIES_A_ROUND):
        figures.append(percentile(await deliver(), 0.95))
        await asyncio.sleep(PAUSE_S)
    return percentile(figures, 0.5)


async def compare(ours: Program, limit: Program, count: int) -> tuple[Comparison, Comparison]:
    """Compare both sides with `count` watchers each."""
    our_watchers, our_memory = await gather(ours, "/ws/market", count)
    limit_watchers, limit_memory = await gather(limit, "/", count)

    async def deliver() -> list[float]:
        candle = Candle(**body(next(TIMES)))
        change = await asyncio.to_thread(pipeline().ingest, SERIES, [candle])
        return await our_watchers.delays(candle.candle_time, lambda: publish_change(change))

    async with connect(f"ws{limit.url.removeprefix('http')}/send", compression=None) as sender:

        async def deliver_bare() -> list[float]:
            candle = body(next(TIMES))
            message = {"type": "candle_closed", "series_id": str(SERIES), "candle": candle}
            text = orjson.dumps(message).decode()
            return await limit_watchers.delays(candle["candle_time"], lambda: sender.send(text))

        figures = await interleave_async(
            partial(median_of, deliver), partial(median_of, deliver_bare)
        )
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
