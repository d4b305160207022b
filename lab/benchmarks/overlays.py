"""What factors and drawings cost: on top of storing a candle, and when frames are read.

Writing: the same real connection, with the factors' stage behind the store, with both stages and
without any, one candle at a time and in bulk. Reading: frames and polls over HTTP against a page
of 2,000 candles requested for the first time, from the same web process by the same client. A poll
is that of a client that follows the series, from a few numbers back.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Iterator, Sequence
from functools import partial
from urllib.parse import quote

from django.conf import settings

from factors.stage import FactorStage
from lab.benchmarks.candle_reads import Client
from lab.benchmarks.harness import Comparison, Target, interleave, interleave_async, print_machine
from lab.benchmarks.samples import FIRST, new_series, walk
from lab.benchmarks.stack import stack, web
from market.domain.candle import Candle
from market.domain.series import SeriesId
from market.pipeline import Pipeline, Stage, load_stages
from market.runtime import candle_store
from overlays.runtime import overlay_ledger

HISTORY = 6_000
SINGLY = 400
BULK = 10_000
READS = 120
BEHIND = 3


class Side:
    """A pipeline, and a series that it writes on."""

    def __init__(self, stages: Sequence[Stage], candles: list[Candle]) -> None:
        self._pipeline = Pipeline(candle_store(), stages)
        self._candles = candles
        self._series = new_series()
        self._pipeline.ingest(self._series, candles[:HISTORY])
        self._left = iter(candles[HISTORY:])

    def singly(self) -> float:
        """Return milliseconds a candle, one by one behind HISTORY candles."""
        start = time.perf_counter()
        for candle in itertools.islice(self._left, SINGLY):
            self._pipeline.ingest(self._series, [candle])
        return (time.perf_counter() - start) * 1000 / SINGLY

    def bulk(self) -> float:
        """Return microseconds a candle, BULK of them into an empty series."""
        series, candles = new_series(), self._candles[:BULK]
        start = time.perf_counter()
        self._pipeline.ingest(series, candles)
        return (time.perf_counter() - start) * 1e6 / BULK


def writing(candles: list[Candle]) -> Iterator[Comparison]:
    """Compare factors alone, and with drawings, with neither."""
    for title, stages in (
        ("store with factors", [FactorStage()]),
        ("store with factors and drawings", load_stages(settings.PIPELINE_STAGES)),
    ):
        staged, alone = Side(stages, candles), Side([], candles)
        figures = interleave(staged.singly, alone.singly)
        against = f"{title}, one by one, against the candle alone"
        yield Comparison(against, "ms/candle", *figures, Target(2.0))
        figures = interleave(staged.bulk, alone.bulk, rounds=3)
        yield Comparison("the same in bulk", "µs/candle", *figures)


def addresses(name: str, series: SeriesId, newest: int) -> Iterator[str]:
    """Return requests, each for a page or a window that was not requested before.

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
    """Compare one kind of read with a page of candles."""
    client = Client(url)
    pages, requests = addresses("candles", series, newest), addresses(name, series, newest)

    async def cost(paths: Iterator[str]) -> float:
        return 1000 / await client.rate(paths, READS)

    figures = await interleave_async(partial(cost, requests), partial(cost, pages))
    return Comparison(f"{name} against a page of candles", "ms/answer", *figures)


def main() -> None:
    """Print the comparisons."""
    print_machine()
    candles = list(itertools.islice(walk(), HISTORY + 8 * SINGLY + BULK))
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
