"""The whole factor engine, per candle, as the history grows; and against compiled strokes.

Flatness: processor time of blocks of candles behind histories of 1k to 1M candles, as ratios to
those behind 1k; and of 1M to 100k, both beyond the point (some 25k candles) where there are as
many pivots as sr looks at and its snapshots grow no more. Speed: the same blocks through the
`czsc` package (requirements-bench.lock), which finds its strokes in compiled code, one bar at a
time as we do. The code measured needs nothing but the standard library, so this runs in an
environment that has only that package.
"""

from __future__ import annotations

import gc
import importlib
import importlib.util
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from factors.domain.all_factors import FACTORS
from factors.domain.engine import Engine, EngineState
from lab.benchmarks.harness import Comparison, Target, interleave, print_machine
from lab.benchmarks.samples import walk
from market.domain.candle import Candle
from market.domain.timeframe import Timeframe

HISTORIES = (1_000, 10_000, 100_000, 1_000_000)
BLOCK = 4_000
ROUNDS = 7
MINUTE = Timeframe.parse("1m")
FLAT = Target(1.1)
COMPILED = Target(5)


class Walk:
    """A random walk, of which blocks behind a history are measured."""

    def __init__(self, history: int, seed: int = 1) -> None:
        self._candles = walk(seed)
        self._engine = Engine(FACTORS)
        self._state: EngineState = self._engine.initial(MINUTE)
        for candle in islice(self._candles, history):
            self._engine.step(self._state, candle)

    def block(self) -> float:
        """Return microseconds a candle over the next block."""
        step, state = self._engine.step, self._state
        block = list(islice(self._candles, BLOCK))
        return timed(lambda candle: step(state, candle), block)


class Strokes:
    """The same walk through czsc."""

    def __init__(self, history: int, seed: int = 1) -> None:
        # By name, because it is an optional package.
        self._czsc: Any = importlib.import_module("czsc")
        self._bars = map(self._bar, walk(seed))
        self._strokes = self._czsc.CZSC(list(islice(self._bars, history)))

    def block(self) -> float:
        """Return microseconds a bar over the next block."""
        return timed(self._strokes.update, list(islice(self._bars, BLOCK)))

    def _bar(self, candle: Candle) -> Any:
        opened = datetime.fromtimestamp(candle.candle_time, UTC).replace(tzinfo=None)
        return self._czsc.RawBar(
            symbol="walk",
            id=candle.candle_time,
            dt=opened,
            freq=self._czsc.Freq.F1,
            open=candle.open,
            close=candle.close,
            high=candle.high,
            low=candle.low,
            vol=candle.volume,
            amount=0.0,
        )


def timed(take: Callable[[Any], object], items: list[Any]) -> float:
    """Return microseconds of processor time an item."""
    gc.collect()
    gc.freeze()
    start = time.process_time()
    for item in items:
        take(item)
    spent = time.process_time() - start
    gc.unfreeze()
    return spent / len(items) * 1e6


class Behind:
    """Blocks behind one length of history: a short one is walked anew for every block."""

    def __init__(self, side: type[Walk] | type[Strokes], history: int) -> None:
        self._side = side
        self._history = history
        self._seed = 0
        self._long = side(history) if history > 10 * BLOCK else None

    def block(self) -> float:
        """Return microseconds a candle over a block."""
        if self._long is not None:
            return self._long.block()
        self._seed += 1
        return self._side(self._history, self._seed).block()


def compare(title: str, ours: Behind, limit: Behind, target: Target) -> bool:
    """Print a comparison; return whether its target is met."""
    measured = interleave(ours.block, limit.block, rounds=ROUNDS)
    comparison = Comparison(title, "µs/candle", *measured, target)
    print(comparison, flush=True)
    return target.is_met(comparison.ratio)


def main() -> int:
    """Print all figures; 1 when a target is missed."""
    print_machine()
    compiled = importlib.util.find_spec("czsc") is not None
    met = True
    for history in HISTORIES:
        ours = Behind(Walk, history)
        title = f"behind {history:,} candles, to behind 1,000"
        met &= compare(title, ours, Behind(Walk, HISTORIES[0]), FLAT)
        if compiled:
            title = f"behind {history:,} candles, to czsc there"
            met &= compare(title, ours, Behind(Strokes, history), COMPILED)
    saturated = HISTORIES[-2]
    title = f"behind {HISTORIES[-1]:,} candles, to behind {saturated:,}"
    met &= compare(title, ours, Behind(Walk, saturated), FLAT)
    if not compiled:
        print("czsc is not installed (requirements-bench.lock): no ratio to it")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
