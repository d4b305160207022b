"""Storing candles with the factors computed and written, against storing them alone.

Both write the same random walk into series of their own: one candle a transaction behind a history
that was stored before, as live candles come, and then in bulk.
"""

from __future__ import annotations

import itertools
import random
import time
from functools import partial

from factors.stage import FactorStage
from lab.benchmarks.harness import Comparison, Target, interleave, print_machine
from lab.benchmarks.stack import stack
from market.domain.candle import Candle
from market.domain.series import SeriesId
from market.pipeline import Pipeline
from market.runtime import candle_store

HISTORY = 3_000
LIVE = 1_000
BULK = 20_000
NUMBERS = itertools.count()


def walk(count: int) -> list[Candle]:
    """Minutes of a market that wanders, the same ones every time."""
    chance = random.Random(7)
    close, candles = 60_000.0, []
    for index in range(count):
        before, close = close, round(close * (1 + chance.gauss(0, 0.001)), 1)
        reach = abs(chance.gauss(0, 20.0))
        high, low = max(before, close) + reach, min(before, close) - reach
        candles.append(
            Candle(1_600_000_020 + 60 * index, before, round(high, 1), round(low, 1), close, 1.5)
        )
    return candles


def live(pipeline: Pipeline, candles: list[Candle]) -> float:
    """Milliseconds for each candle stored by itself."""
    series = _new_series()
    pipeline.ingest(series, candles[:HISTORY])
    start = time.perf_counter()
    for candle in candles[HISTORY : HISTORY + LIVE]:
        pipeline.ingest(series, [candle])
    return 1000 * (time.perf_counter() - start) / LIVE


def bulk(pipeline: Pipeline, candles: list[Candle]) -> float:
    """Milliseconds for each candle of a great batch."""
    start = time.perf_counter()
    pipeline.ingest(_new_series(), candles)
    return 1000 * (time.perf_counter() - start) / len(candles)


def _new_series() -> SeriesId:
    return SeriesId.parse(f"binance:spot:X{next(NUMBERS)}/USDT:1m")


def main() -> None:
    """Print the comparisons."""
    print_machine()
    with stack():
        alone, candles = Pipeline(candle_store()), walk(BULK)
        with_factors = Pipeline(candle_store(), [FactorStage()])
        for title, measure, target in (
            ("factors, candle by candle", live, Target(2.0)),
            ("factors, in bulk", bulk, None),
        ):
            figures = interleave(
                partial(measure, with_factors, candles), partial(measure, alone, candles)
            )
            print(Comparison(title, "ms/candle", *figures, target), flush=True)


if __name__ == "__main__":
    main()
