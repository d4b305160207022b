"""What pages cost beyond sockets, in CPU time of the web process.

Fan-out: a closed candle to 1,000 watchers that follow the drawings too, against as many that follow
candles alone. Reads: a frame at the head and a poll that are kept, against a page of candles that
is kept; and the same frame read anew, as it was for every page before answers were kept.
"""

from __future__ import annotations

import asyncio
import itertools
import sys
from collections.abc import Awaitable, Callable
from functools import partial
from urllib.parse import quote

import psutil
from django.conf import settings

from lab.benchmarks.candle_reads import Client
from lab.benchmarks.harness import Comparison, Target, interleave_async, print_machine
from lab.benchmarks.samples import new_series, walk
from lab.benchmarks.stack import stack, web
from lab.benchmarks.watchers import Watchers
from lab.program import Program
from market.bus.publish import publish_change
from market.domain.candle import Candle
from market.domain.series import SeriesId
from market.pipeline import Pipeline, load_stages
from market.runtime import candle_store

WATCHERS = 1000
HISTORY = 4_000
DELIVERIES = 20
PAUSE_S = 0.1
KEPT_REQUESTS = 2_000
READ_REQUESTS = 100


async def cpu_of(process: Program, work: Callable[[], Awaitable[object]], count: int) -> float:
    """Return microseconds of CPU that the process spends on work, for each of `count`."""
    measured = psutil.Process(process.pid)
    before = measured.cpu_times()
    await work()
    after = measured.cpu_times()
    spent = after.user + after.system - before.user - before.system
    return 1e6 * spent / count


class Side:
    """A series with drawings, and its watchers."""

    def __init__(self, pipeline: Pipeline) -> None:
        self.series = new_series()
        self.watchers = Watchers()
        self._pipeline = pipeline
        self._candles = walk()
        history = list(itertools.islice(self._candles, HISTORY))
        self._head = history[-1].candle_time
        pipeline.ingest(self.series, history)

    async def gather(self, url: str, count: int, **more: object) -> None:
        """Connect watchers that have all candles so far."""
        first: dict[str, object] = {"type": "subscribe", "series_id": str(self.series), **more}
        await self.watchers.connect(
            url, "/ws/market", count, {**first, "since": self._head, **more}
        )
        await asyncio.sleep(1)

    async def deliver(self) -> None:
        """Store and publish candles one by one."""
        for candle in itertools.islice(self._candles, DELIVERIES):
            change = await asyncio.to_thread(self._pipeline.ingest, self.series, [candle])
            await self.watchers.delays(candle.candle_time, partial(publish_change, change))
            # Its drawings are on their way.
            await asyncio.sleep(PAUSE_S)


async def fan_out(process: Program, pages: Side, sockets: Side, count: int) -> Comparison:
    """Compare watchers of candles and drawings with watchers of candles."""
    await pages.gather(process.url, count, drawings=0)
    await sockets.gather(process.url, count)
    figures = await interleave_async(
        partial(cpu_of, process, pages.deliver, DELIVERIES),
        partial(cpu_of, process, sockets.deliver, DELIVERIES),
    )
    await pages.watchers.leave()
    await sockets.watchers.leave()
    title = f"candle and drawings to {count} watchers, against the candle alone"
    return Comparison(title, "us of CPU/candle", *figures, Target(2.0))


async def reads(process: Program, series: SeriesId, candle: Candle) -> list[Comparison]:
    """Compare answers that are kept with a page that is, and with answers that are not."""
    client, who = Client(process.url), f"series_id={quote(str(series))}"
    page = f"/api/market/candles?{who}&limit=2000&since={candle.candle_time}"
    frame = f"/api/frame/live?{who}&factor_slices=false"
    poll = f"/api/delta/poll?{who}&factor_slices=false&after_id=1000000"

    async def kept(path: str) -> float:
        work = partial(client.rate, itertools.repeat(path), KEPT_REQUESTS)
        return await cpu_of(process, work, KEPT_REQUESTS)

    windows = itertools.count(1000)

    async def anew() -> float:
        paths = (f"{frame}&window_candles={n}" for n in windows)
        work = partial(client.rate, paths, READ_REQUESTS)
        return await cpu_of(process, work, READ_REQUESTS)

    found = []
    for title, path in (("frame/live", frame), ("delta/poll, nothing new", poll)):
        figures = await interleave_async(partial(kept, path), partial(kept, page))
        against = f"{title}, kept, against a page of candles, kept"
        found.append(Comparison(against, "us of CPU/answer", *figures, Target(2.0)))
    figures = await interleave_async(partial(kept, frame), anew)
    against = "frame/live, kept, against one read anew"
    return [*found, Comparison(against, "us of CPU/answer", *figures)]


def main() -> None:
    """Print the comparisons."""
    print_machine()
    count = int(sys.argv[1]) if len(sys.argv) > 1 else WATCHERS
    with stack(ledgers=True) as installation:
        pipeline = Pipeline(candle_store(), load_stages(settings.PIPELINE_STAGES))
        series, candles = new_series(), list(itertools.islice(walk(), HISTORY))
        pipeline.ingest(series, candles)
        with web(installation) as process:
            for each in asyncio.run(reads(process, series, candles[HISTORY // 4])):
                print(each, flush=True)
            sides = Side(pipeline), Side(pipeline)
            print(asyncio.run(fan_out(process, *sides, count)), flush=True)


if __name__ == "__main__":
    main()
