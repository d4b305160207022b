"""What factors and drawings cost: on top of storing a candle, and when frames are read.

Writing: the same real connection, once with both stages behind the store and once without, one
candle at a time and in bulk. Reading: frames and polls over HTTP against a page of 2,000 candles
asked for the first time, from the same web process by the same client. A poll
is asked as a client that follows the series asks, from a few numbers back.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections.abc import Iterator
from functools import partial
from urllib.parse import quote

from django.conf import settings

from lab.benchmarks.candle_reads import Client
from lab.benchmarks.harness import Comparison, Target, interleave, interleave_async, print_machine
from lab.benchmarks.stack import stack, web
from market.domain.candle import Candle
from market.domain.series import SeriesId
from market.pipeline import Pipeline, load_stages
from market.runtime import candle_store
from overlays.runtime import overlay_ledger

FIRST = 1_600_000_020
HISTORY = 6_000
SINGLY = 400
BULK = 10_000
READS = 120
BEHIND = 3
NUMBERS = itertools.count()


def walk(count: int) -> list[Candle]:
    """Minutes of a random walk in ticks, as a quiet market has them."""
    chance, close, candles = random.Random(7), 30_000.0, []
    for n in range(count):
        first, close = close, round(close + chance.gauss(0, 12), 1)
        high = max(first, close) + round(chance.random() * 5, 1)
        low = min(first, close) - round(chance.random() * 5, 1)
        candles.append(Candle(FIRST + 60 * n, first, high, low, close, 1.5))
    return candles


class Side:
    """A pipeline, and a series that it writes on."""

    def __init__(self, pipeline: Pipeline, candles: list[Candle]) -> None:
        self._pipeline = pipeline
        self._candles = candles
        self._series = new_series()
        pipeline.ingest(self._series, candles[:HISTORY])
        self._left = iter(candles[HISTORY:])

    def singly(self) -> float:
        """Milliseconds a candle, one by one behind HISTORY candles."""
        start = time.perf_counter()
        for candle in itertools.islice(self._left, SINGLY):
            self._pipeline.ingest(self._series, [candle])
        return (time.perf_counter() - start) * 1000 / SINGLY

    def bulk(self) -> float:
        """Microseconds a candle, BULK of them into an empty series."""
        series, candles = new_series(), self._candles[:BULK]
        start = time.perf_counter()
        self._pipeline.ingest(series, candles)
        return (time.perf_counter() - start) * 1e6 / BULK


def new_series() -> SeriesId:
    """A series that nothing was written to."""
    return SeriesId.parse(f"binance:futures:X{next(NUMBERS)}/USDT:1m")


def writing(candles: list[Candle]) -> Iterator[Comparison]:
    """Both stages against none."""
    store = candle_store()
    with_stages = Side(Pipeline(store, load_stages(settings.PIPELINE_STAGES)), candles)
    bare = Side(Pipeline(store), candles)
    figures = interleave(with_stages.singly, bare.singly)
    title = "store with factors and drawings, one by one, against the candle alone"
    yield Comparison(title, "ms/candle", *figures, Target(2.0))
    figures = interleave(with_stages.bulk, bare.bulk, rounds=3)
    yield Comparison("the same in bulk", "µs/candle", *figures)


def addresses(name: str, series: SeriesId, newest: int) -> Iterator[str]:
    """What is asked for, each time a page or a window that was not asked for before.

    `newest` is the number of the newest batch.
    """
    who = f"series_id={quote(str(series))}"
    for n in itertools.count():
        yield {
            "frame/live": f"/api/frame/live?{who}",
            "delta/poll, something new": f"/api/delta/poll?{who}&after_id={newest - BEHIND}",
            "delta/poll, nothing new": f"/api/delta/poll?{who}&after_id={newest}",
            "candles": f"/api/market/candles?{who}&limit=2000&since={FIRST + 60 * n + 1}",
        }[name]


async def reading(url: str, name: str, series: SeriesId, newest: int) -> Comparison:
    """One kind of read against a page of candles."""
    client = Client(url)
    pages, asked = addresses("candles", series, newest), addresses(name, series, newest)

    async def cost(paths: Iterator[str]) -> float:
        return 1000 / await client.rate(paths, READS)

    figures = await interleave_async(partial(cost, asked), partial(cost, pages))
    return Comparison(f"{name} against a page of candles", "ms/answer", *figures)


def main() -> None:
    """Print the comparisons."""
    print_machine()
    candles = walk(HISTORY + 8 * SINGLY + BULK)
    with stack(ledgers=True) as installation:
        for each in writing(candles):
            print(each, flush=True)
        series = new_series()
        Pipeline(candle_store(), load_stages(settings.PIPELINE_STAGES)).ingest(series, candles)
        drawn = overlay_ledger().state(series)
        newest = 0 if drawn is None else drawn.tick_id
        with web(installation) as process:
            for name in ("frame/live", "delta/poll, something new", "delta/poll, nothing new"):
                print(asyncio.run(reading(process.url, name, series, newest)), flush=True)


if __name__ == "__main__":
    main()
