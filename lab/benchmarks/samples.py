"""Candles and series that the benchmarks write."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from typing import Any

from market.domain.candle import Candle
from market.domain.series import SeriesId

FIRST = 1_600_000_020
_numbers = itertools.count()


def new_series() -> SeriesId:
    """Return a series of minutes that nothing was written to."""
    return SeriesId.parse(f"binance:spot:X{next(_numbers)}/USDT:1m")


def body(candle_time: int) -> dict[str, Any]:
    """Return a candle of usual length, as in a message."""
    prices = {"open": 64210.5, "high": 64333.25, "low": 64180.75, "close": 64300.5}
    return {"candle_time": candle_time, **prices, "volume": 182.337}


def minutes(count: int) -> list[Candle]:
    """Return candles of usual length, one after the other from FIRST on."""
    return [
        Candle(FIRST + 60 * n, 64210.5 + n % 97, 64400.25 + n % 97, 64100.75, 64300.5, n / 7)
        for n in range(count)
    ]


def walk(seed: int = 7) -> Iterator[Candle]:
    """An endless random walk of minutes, to the cent, the same for the same seed."""
    rng = random.Random(seed)
    price, candle_time = 40_000.0, FIRST
    while True:
        close = max(100.0, round(price + rng.gauss(0, 25), 2))
        high = round(max(price, close) + abs(rng.gauss(0, 10)), 2)
        low = round(min(price, close) - abs(rng.gauss(0, 10)), 2)
        yield Candle(candle_time, price, high, low, close, 1.0)
        price, candle_time = close, candle_time + 60
