"""The grids on which exchanges open their candles, learned from their newest ones.

ccxt names a timeframe by its length alone. Up to four hours all exchanges count from midnight UTC;
above that a week may open on Thursday, and a day at 16:00 UTC, which is midnight in Shanghai. A
series must have the exchange's grid: none of the candles would fit any other.
"""

from __future__ import annotations

import contextlib
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from market.domain.explained import translatable
from market.domain.feed import FeedRefused
from market.domain.series import SeriesId
from market.domain.timeframe import Timeframe, followable_named
from market.exchanges.ccxt_client import feed_errors, no_timeframe, symbol_of
from market.singletons import once

# Shorter candles open at multiples of their length from midnight UTC everywhere.
LONGEST_CERTAIN_S = 4 * 3_600
# How many of the newest candles are read to learn a grid.
LOOKED_AT = 5
KEPT_S = 86_400.0
# When an exchange had no candles to look at.
RETRY_S = 300.0
MAX_KEPT = 1024


class ShiftedGrid(FeedRefused):
    """The exchange opens candles of this length at other times; `offered` is the series it has."""

    code = "shifted_grid"

    def __init__(self, series: SeriesId, offset: int) -> None:
        self.offered = series.with_timeframe(series.timeframe.with_grid(offset))
        super().__init__(
            translatable(
                "%(exchange)s opens %(timeframe)s candles on another grid: use %(offered)s"
            ),
            exchange=series.exchange,
            timeframe=series.timeframe,
            offered=self.offered,
        )


class UnevenGrid(FeedRefused):
    """The exchange's candles of this length lie on no grid, as months and days with DST do."""

    code = "uneven_grid"

    def __init__(self, series: SeriesId) -> None:
        super().__init__(
            translatable("%(exchange)s opens %(timeframe)s candles at uneven times"),
            exchange=series.exchange,
            timeframe=series.timeframe,
        )


class GridUnknown(LookupError):
    """The grid of a timeframe that the exchange calls `name` has to be learned first."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


class _Learned(NamedTuple):
    """An offset from the epoch in seconds, None for an uneven grid, and until when it counts."""

    offset: int | None
    until: float


class Grids:
    """What is known of the grids of all exchanges; used from any thread."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._learned: OrderedDict[tuple[str, str, str], _Learned] = OrderedDict()

    def name_of(self, series: SeriesId, timeframes: Iterable[str]) -> str:
        """ccxt's name of the series' timeframe, of those that the exchange has.

        Raises FeedRefused without one, and GridUnknown when a grid must be learned to decide.
        """
        others: list[int | None] = []
        for name, nominal in _of_length(series.timeframe, timeframes):
            offset = self._offset(series, name, nominal)
            if offset == series.timeframe.offset:
                return name
            others.append(offset)
        offered = next((each for each in others if each is not None), None)
        if offered is not None:
            raise ShiftedGrid(series, offered)
        if others:
            raise UnevenGrid(series)
        raise no_timeframe(series)

    def _offset(self, series: SeriesId, name: str, nominal: Timeframe) -> int | None:
        if nominal.seconds <= LONGEST_CERTAIN_S:
            return nominal.offset
        learned = self._learned.get((series.exchange, series.market, name))
        if learned is None or self._clock() >= learned.until:
            raise GridUnknown(name)
        return learned.offset

    async def learn(self, client: Any, series: SeriesId, name: str) -> None:
        """Read the newest candles of the series' symbol, and note their grid.

        Without any the grid is taken to be the usual one for a while. Raises FeedError.
        """
        nominal = Timeframe.parse(name)
        since = nominal.open_of(time.time()) - LOOKED_AT * nominal.seconds
        with feed_errors(f"{name} candles of {series.exchange}"):
            times = await _times(client, series, name, since)
            if len(times) < 2:
                # A halted market has older ones.
                times = await _times(client, series, name, None)
        # The forming one has the time of its newest trade on some exchanges.
        settled = times[:-1] if len(times) > 2 else times
        offsets = {each % nominal.seconds for each in settled}
        if len(times) < 2:
            learned = _Learned(nominal.offset, self._clock() + RETRY_S)
        else:
            offset = offsets.pop() if len(offsets) == 1 else None
            learned = _Learned(offset, self._clock() + KEPT_S)
        self._learned[series.exchange, series.market, name] = learned
        while len(self._learned) > MAX_KEPT:
            self._learned.popitem(last=False)

    def as_opened(self, exchange: str, market: str, timeframes: Iterable[str]) -> list[str]:
        """Timeframes as series ids name them: those on another grid by that, as far as known."""
        names = []
        for name in timeframes:
            learned = self._learned.get((exchange, market, name))
            if learned is None:
                names.append(name)
            elif learned.offset is not None:
                names.append(Timeframe.parse(name).with_grid(learned.offset).text)
        return names


async def _times(client: Any, series: SeriesId, name: str, since: int | None) -> list[int]:
    """Open times of some of the newest candles, in Unix seconds."""
    asked_ms = None if since is None else since * 1000
    rows = await client.fetch_ohlcv(symbol_of(series), name, asked_ms, LOOKED_AT)
    times = []
    for row in rows or []:
        with contextlib.suppress(TypeError, ValueError, LookupError, OverflowError):
            times.append(int(row[0]) // 1000)
    return sorted(times)[-LOOKED_AT:]


def _of_length(timeframe: Timeframe, names: Iterable[str]) -> Iterator[tuple[str, Timeframe]]:
    for name, nominal in followable_named(names).items():
        if nominal.seconds == timeframe.seconds and timeframe.calendar is None:
            yield name, nominal


@once
def grids() -> Grids:
    """The grids as this process knows them."""
    return Grids()


async def timeframe_of(client: Any, series: SeriesId) -> str:
    """ccxt's name of the timeframe with the series' length and grid, learned when needed.

    Raises FeedRefused without one, and FeedError when the exchange can't be asked.
    """
    names: Mapping[str, Any] = client.timeframes or {}
    while True:
        try:
            return grids().name_of(series, names)
        except GridUnknown as unknown:
            await grids().learn(client, series, unknown.name)
