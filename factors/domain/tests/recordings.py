"""Engines, candles and results for tests."""

from __future__ import annotations

import json
from itertools import accumulate

from hypothesis import strategies as st

from factors.domain.engine import Engine
from factors.domain.pivot import PivotParameters
from factors.domain.slices import head_at
from factors.domain.sr import SrParameters
from factors.domain.tests.installed import FACTORS
from market.domain.candle import Candle
from market.domain.timeframe import Timeframe

MINUTE = Timeframe.parse("1m")


def engine(major=50, minor=5, **sr):
    return Engine(FACTORS, {"pivot": PivotParameters(major, minor), "sr": SrParameters(**sr)})


def fold(folding, candles, timeframe=MINUTE):
    """Every candle's events and changed heads, copied through JSON at once."""
    state = folding.initial(timeframe)
    return [json.dumps(folding.step(state, candle)) for candle in candles]


def facts_of(folding, candles, timeframe=MINUTE):
    """All events in order, and the heads as they read at every candle's time."""
    state, events, heads, seen = folding.initial(timeframe), [], {}, {}
    for candle, result in zip(candles, folding.fold(state, candles), strict=True):
        events += result.events
        heads |= {head.factor: head.head for head in result.heads}
        seen[candle.candle_time] = {
            spec.name: head_at(spec, heads[spec.name], candle.candle_time)
            for spec in folding.factors
            if spec.name in heads
        }
    return events, seen


def reader(candles):
    """The stored candles, as a restored state asks for them."""
    return lambda start, end: [one for one in candles if start <= one.candle_time <= end]


def flat(*prices):
    """Candles at 60, 120, ... that stay at these prices."""
    return [Candle(60 * n, price, price, price, price, 1.0) for n, price in enumerate(prices, 1)]


# Few different prices, so that equal highs, lows and closes are common; holes now and then.
_steps = st.tuples(
    st.sampled_from([60, 60, 60, 60, 60, 60, 60, 120, 300]),
    st.integers(-3, 3),
    st.integers(0, 2),
    st.integers(0, 2),
)


def _candle(before, step):
    gap, move, above, below = step
    price = before.close + move
    high, low = max(before.close, price) + above, min(before.close, price) - below
    return Candle(before.candle_time + gap, before.close, high, low, price, 1.0)


def candles_strategy(max_size=90, start=60.0):
    first = Candle(600, start, start, start, start, 1.0)
    return st.lists(_steps, max_size=max_size).map(
        lambda steps: list(accumulate(steps, _candle, initial=first))
    )
