"""Bars for charts that speak UDF: closed candles, ascending, each final but for revisions.

Charts ask every ten seconds for their newest bars. They take a bar older than their last one for a
time violation, and never ask again for one that was left out. So the forming candle, which another
web process might not know, is not sent, and neither is a stored candle that is still open: a bar
appears once it has closed and every candle before it that will be stored at the time is stored.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import ceil
from typing import NamedTuple

import orjson

from market.domain.candle import Candle
from market.domain.freshness import is_withheld
from market.domain.series import SeriesId
from market.domain.store import CandleStore, SeriesState
from market.runtime import candle_store
from market.singletons import once

# More bars than a chart asks for at once; with fewer it asks for the rest.
MOST_BARS = 5000

# Polls of the newest bars: their answers are kept, a page of history is read each time.
FEW_BARS = 50
KEPT_ANSWERS = 1024


@dataclass(frozen=True, slots=True)
class Range:
    """The bars asked for: those of ``start <= time < end``, and at least the last `count` of them.

    All of them, or the newest `MOST_BARS`.
    """

    start: float
    end: float
    count: int


class Found(NamedTuple):
    """An answer, and the state of its series when it was read."""

    content: bytes
    head: int | None
    epoch: int
    generation: str


class _Wanted(NamedTuple):
    """A range on the grid of a series, up to the newest candle that it may show."""

    start: int
    newest: int
    limit: int
    least: int


class Bars:
    """Answers of a candle store. Any thread may ask."""

    def __init__(self, store: CandleStore, *, clock: Callable[[], float] = time.time) -> None:
        self._store = store
        self._clock = clock
        self._kept = lru_cache(maxsize=KEPT_ANSWERS)(self._read)

    def answer(self, series: SeriesId, asked: Range) -> Found:
        """The JSON answer to a request for bars: one query if the same poll was answered before.

        Blocking.
        """
        state = self._store.state(series)
        wanted = self._wanted(series, asked, state)
        if wanted is None:
            content = _no_data(None)
        else:
            read = self._read if wanted.limit > FEW_BARS else self._kept
            content = read(series, state, wanted)
        return Found(content, *state)

    def _wanted(self, series: SeriesId, asked: Range, state: SeriesState) -> _Wanted | None:
        timeframe, now = series.timeframe, self._clock()
        if state.head is None:
            return None
        newest = min(ceil(asked.end) - 1, state.head)
        if is_withheld(state.head, timeframe, now):
            newest = min(newest, timeframe.latest_closed(now))
        if newest < 0:
            return None
        # On the grid, so that polls within one bar are the same question.
        newest = timeframe.open_of(newest)
        start = timeframe.first_open(ceil(asked.start))
        in_range = max(0, timeframe.steps(start, newest) + 1)
        count = min(asked.count, MOST_BARS)
        return _Wanted(start, newest, min(MOST_BARS, max(1, count, in_range)), count)

    def _read(self, series: SeriesId, state: SeriesState, wanted: _Wanted) -> bytes:
        """The answer for a series in `state`, which is part of the key of what is kept."""
        found = self._store.newest(series, wanted.limit, up_to=wanted.newest)
        candles = [each for each in found if series.timeframe.is_aligned(each.candle_time)]
        least = len(candles) - wanted.least
        shown = [
            candle
            for position, candle in enumerate(candles)
            if position >= least or candle.candle_time >= wanted.start
        ]
        return _ok(shown) if shown else _no_data(candles[-1].candle_time if candles else None)


def _ok(candles: Sequence[Candle]) -> bytes:
    times, opens, highs, lows, closes, volumes = zip(*candles, strict=True)
    columns = {"t": times, "o": opens, "h": highs, "l": lows, "c": closes, "v": volumes}
    return orjson.dumps({"s": "ok"} | columns)


def _no_data(next_time: int | None) -> bytes:
    """`next_time` is the newest bar before the range; without one there is nothing earlier."""
    earlier = {} if next_time is None else {"nextTime": next_time}
    return orjson.dumps({"s": "no_data"} | earlier)


@once
def bars() -> Bars:
    """The bars of this process's store."""
    return Bars(candle_store())
