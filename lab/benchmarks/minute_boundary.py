"""Many series that close in the same second: committed together, against one by one.

Cost: the pipeline with factors and drawings, the same series and the same candles for both sides,
in wall time a candle. Delay: from the close of all series, handed to the committer at once as a
follow job does, to a watcher of another process; one by one is what a process did before, as many
transactions at a time as it has database threads. A cold start: the same group right after a
worker's restart, with no engine state in memory, against one whose series read theirs one by one.
Then a single candle through the committer, against the pipeline called as it was before.
"""

from __future__ import annotations

import asyncio
import itertools
import sys
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence

import orjson
from django.conf import settings

from lab.benchmarks.harness import (
    Comparison,
    Target,
    interleave,
    interleave_async,
    percentile,
    print_machine,
)
from lab.benchmarks.samples import new_series, walk
from lab.benchmarks.stack import stack, web
from lab.benchmarks.watchers import Watcher
from lab.sockets import connect
from market import blocking
from market.bus.publish import publish_change
from market.committer import MOST_SERIES, Committer
from market.domain.candle import Candle
from market.domain.change import Change, Notice
from market.domain.series import SeriesId
from market.domain.store import SeriesWriter
from market.pipeline import Batch, Pipeline, Stage, load_stages
from market.runtime import candle_store

SERIES = 1000
HISTORY = 200
SINGLY = 300
SUBSCRIBED_EACH = 100
TIMEOUT_S = 60.0
ROUNDS = 3

Ingest = Callable[[SeriesId, Sequence[Candle]], Awaitable[Change]]


class Arrivals:
    """Connections that follow all series; notes when the expected candle of each arrived."""

    def __init__(self) -> None:
        self._mark = b"\0"
        self._expected = 0
        self._at: list[float] = []
        self._all = asyncio.Event()
        self._every: list[Watcher] = []

    async def connect(self, url: str, series: Sequence[SeriesId], since: int) -> None:
        """Open as many connections as the series need."""
        self._expected = len(series)
        for start in range(0, len(series), SUBSCRIBED_EACH):
            watcher = Watcher(self, b'{"type":"hello"}')
            await connect(watcher, url, "/ws/market", TIMEOUT_S)
            await asyncio.wait_for(watcher.has_opened.wait(), TIMEOUT_S)
            for each in series[start : start + SUBSCRIBED_EACH]:
                first = {"type": "subscribe", "series_id": str(each), "since": since}
                watcher.socket.send(orjson.dumps(first))
            self._every.append(watcher)

    def note(self, payload: bytes) -> None:
        """Note the time if it is the expected candle."""
        if self._mark in payload:
            self._at.append(time.perf_counter())
            if len(self._at) == self._expected:
                self._all.set()

    async def delay(self, candle_time: int, close: Callable[[], Awaitable[object]]) -> float:
        """Close the candle of this open time; return the p95 of its delays in milliseconds."""
        self._mark, self._at = b'"candle_time":%d,' % candle_time, []
        self._all.clear()
        start = time.perf_counter()
        await close()
        await asyncio.wait_for(self._all.wait(), TIMEOUT_S)
        return 1000 * (percentile(self._at, 0.95) - start)

    async def leave(self) -> None:
        """Close the connections."""
        for each in self._every:
            each.socket.leave()
        for each in self._every:
            await asyncio.wait_for(each.has_ended.wait(), TIMEOUT_S)


class Unprepared:
    """A stage whose cold series are read one by one."""

    def __init__(self, stage: Stage) -> None:
        self.name = stage.name
        self._stage = stage

    def apply(self, writer: SeriesWriter, change: Change) -> Iterable[Notice]:
        """Apply as the stage does."""
        return self._stage.apply(writer, change)


class Boundary:
    """Series with history, of which all close one candle after another."""

    def __init__(self, pipeline: Pipeline, count: int) -> None:
        self.pipeline = pipeline
        self.series = [new_series() for _ in range(count)]
        self._candles = walk()
        history = list(itertools.islice(self._candles, HISTORY))
        self.head = history[-1].candle_time
        for each in self.series:
            pipeline.ingest(each, history)

    async def ingest(self, series: SeriesId, candles: Sequence[Candle]) -> Change:
        """Store candles as it was before: by themselves, on a database thread."""
        return await blocking.run(self.pipeline.ingest, series, candles)

    def singly(self) -> float:
        """Return the milliseconds a candle, each in a transaction of its own."""
        candle = next(self._candles)
        start = time.perf_counter()
        for each in self.series:
            self.pipeline.ingest(each, [candle])
        return (time.perf_counter() - start) * 1000 / len(self.series)

    def cold(self, *, prepared: bool) -> float:
        """Return the milliseconds a candle, together, by stages that know no series yet."""
        stages = load_stages(settings.PIPELINE_STAGES)
        kept = self.pipeline
        fresh = stages if prepared else [Unprepared(each) for each in stages]
        self.pipeline = Pipeline(candle_store(), fresh)
        try:
            return self.together()
        finally:
            self.pipeline = kept

    def together(self) -> float:
        """Return the milliseconds a candle, in transactions of many series."""
        batches = [
            Batch(each, [next_candle])
            for next_candle in [next(self._candles)]
            for each in self.series
        ]
        start = time.perf_counter()
        for first in range(0, len(batches), MOST_SERIES):
            outcomes = self.pipeline.ingest_group(batches[first : first + MOST_SERIES])
            if not all(isinstance(each, Change) and each.fresh for each in outcomes):
                raise RuntimeError("a series was not stored")
        return (time.perf_counter() - start) * 1000 / len(self.series)

    async def delay(self, arrivals: Arrivals, ingest: Ingest) -> float:
        """Close a candle of all series at once; return the p95 until watchers have it."""
        candle = next(self._candles)

        async def one(series: SeriesId) -> None:
            await publish_change(await ingest(series, [candle]))

        async def close() -> None:
            await asyncio.gather(*map(one, self.series))

        return await arrivals.delay(candle.candle_time, close)

    async def alone(self, ingest: Ingest) -> float:
        """Return the milliseconds until a single candle is stored, in the median."""
        figures = []
        for _ in range(SINGLY):
            candle = next(self._candles)
            start = time.perf_counter()
            await ingest(self.series[0], [candle])
            figures.append(1000 * (time.perf_counter() - start))
        return percentile(figures, 0.5)


async def delays(url: str, boundary: Boundary) -> Comparison:
    """Compare the delays until a watcher of another process has a candle."""
    arrivals = Arrivals()
    await arrivals.connect(url, boundary.series, boundary.head)
    await asyncio.sleep(2)
    together = Committer(boundary.pipeline).ingest
    figures = await interleave_async(
        lambda: boundary.delay(arrivals, together),
        lambda: boundary.delay(arrivals, boundary.ingest),
        rounds=ROUNDS,
    )
    await arrivals.leave()
    title = f"close to watcher, p95, {len(boundary.series)} series, against one by one"
    return Comparison(title, "ms", *figures)


async def alone(boundary: Boundary) -> Comparison:
    """Compare a single candle through the committer with the pipeline on a database thread."""
    figures = await interleave_async(
        lambda: boundary.alone(Committer(boundary.pipeline).ingest),
        lambda: boundary.alone(boundary.ingest),
    )
    return Comparison("a single candle, against the pipeline alone", "ms", *figures, Target(1.1))


def main() -> None:
    """Print the comparisons."""
    print_machine()
    count = int(sys.argv[1]) if len(sys.argv) > 1 else SERIES
    with stack(ledgers=True) as installation:
        pipeline = Pipeline(candle_store(), load_stages(settings.PIPELINE_STAGES))
        print(asyncio.run(alone(Boundary(pipeline, 1))), flush=True)
        boundary = Boundary(pipeline, count)
        figures = interleave(boundary.together, boundary.singly, rounds=ROUNDS)
        title = f"a candle of {count} series together, against one by one"
        print(Comparison(title, "ms", *figures, Target(0.25)), flush=True)
        figures = interleave(
            lambda: boundary.cold(prepared=True),
            lambda: boundary.cold(prepared=False),
            rounds=ROUNDS,
        )
        title = f"a candle of {count} cold series together, against reading one by one"
        print(Comparison(title, "ms", *figures), flush=True)
        # The subscriptions begin at the newest candle.
        boundary.head = candle_store().state(boundary.series[0]).head or 0
        with web(installation) as process:
            print(asyncio.run(delays(process.url, boundary)), flush=True)


if __name__ == "__main__":
    main()
