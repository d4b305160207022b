"""The candles of the exchange as its readers see them, with faults applied, and its clock.

Streams and REST see revisions and omissions; `truth` is what a reader that missed nothing must
have in the end.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from market.local_exchange.candles import (
    DAY_MS,
    MINUTE_MS,
    CandleSource,
    Listing,
    SeriesKey,
    TickCandle,
    floor_to,
)
from market.local_exchange.faults import FaultBook, Kind

TimedCandle = tuple[int, TickCandle]


class Clock:
    """The exchange's own clock, in milliseconds UTC.

    Without `origin_ms` and a speed it follows the wall clock. Otherwise it starts at `origin_ms`
    (or now) and runs `speed` times as fast. `skew_ms` shifts it, for faults.
    """

    def __init__(self, *, origin_ms: int | None = None, speed: float = 1.0) -> None:
        if speed <= 0:
            raise ValueError("speed must be above 0")
        self.speed = speed
        self.skew_ms = 0
        self._follows_wall = origin_ms is None and speed == 1.0
        self._origin_ms = time.time() * 1000 if origin_ms is None else origin_ms
        self._started = time.monotonic()

    def now_ms(self) -> int:
        """The current time of the exchange."""
        if self._follows_wall:
            return int(time.time() * 1000) + self.skew_ms
        passed = (time.monotonic() - self._started) * 1000 * self.speed
        return int(self._origin_ms + passed) + self.skew_ms

    def seconds_until(self, moment_ms: float) -> float:
        """Real seconds until the exchange's clock shows `moment_ms`; never below 0."""
        return max(0.0, (moment_ms - self.now_ms()) / 1000 / self.speed)


@dataclass(frozen=True, slots=True)
class Series:
    """An existing series: its key, its listing, and the length of its interval."""

    key: SeriesKey
    listing: Listing
    interval_ms: int


class Book:
    """Candles by series, with the active faults applied."""

    def __init__(self, source: CandleSource, clock: Clock, faults: FaultBook) -> None:
        self.source = source
        self.clock = clock
        self.faults = faults

    def listings(self, market: str) -> list[Listing]:
        """Everything traded in a market."""
        return [listing for listing in self.source.listings() if listing.market == market]

    def listing(self, market: str, symbol: str) -> Listing | None:
        """The listing with this symbol in a market, if there is one."""
        found = (one for one in self.listings(market) if one.symbol == symbol)
        return next(found, None)

    def series(self, listing: Listing, interval: str) -> Series | None:
        """The series of a listing and an interval; None for an unknown interval."""
        interval_ms = self.source.intervals(listing).get(interval)
        if interval_ms is None:
            return None
        return Series(SeriesKey(listing.market, listing.symbol, interval), listing, interval_ms)

    def find(self, key: SeriesKey) -> Series | None:
        """The series under a key, if it exists."""
        listing = self.listing(key.market, key.symbol)
        return self.series(listing, key.interval) if listing is not None else None

    def candle(self, series: Series, open_ms: int, *, now_ms: int) -> TickCandle | None:
        """One candle in its current state, with revisions."""
        candle = self.source.candle(
            series.listing, series.interval_ms, open_ms=open_ms, now_ms=now_ms
        )
        if candle is None or open_ms + series.interval_ms > now_ms:
            return candle
        for fault in self.faults.of(Kind.REVISE, *series.key):
            if fault.chooses(open_ms, series.interval_ms):
                candle = fault.revised(candle, series.listing)
        return candle

    def omits(self, series: Series, open_ms: int, *, on_rest: bool) -> bool:
        """Whether a fault omits this candle from the streams, or from REST."""
        return any(
            fault.chooses(open_ms, series.interval_ms)
            for fault in self.faults.of(Kind.OMIT, *series.key)
            if fault.request.rest or not on_rest
        )

    def page(
        self, series: Series, *, first_ms: int | None, last_ms: int | None, limit: int
    ) -> list[TimedCandle]:
        """A REST page: the first `limit` candles from first_ms on, or the newest up to last_ms.

        Both bounds are open times and inclusive; the last candle may still be forming.
        """
        now_ms = self.clock.now_ms()
        last_ms = now_ms if last_ms is None else min(last_ms, now_ms)
        opens = self.source.opens(
            series.listing, series.interval_ms, first_ms=first_ms or 0, last_ms=last_ms
        )
        forward = first_ms is not None
        shown = (
            (open_ms, candle)
            for open_ms in (opens if forward else reversed(opens))
            if not self.omits(series, open_ms, on_rest=True)
            if (candle := self.candle(series, open_ms, now_ms=now_ms)) is not None
        )
        rows = list(islice(shown, limit))
        return rows if forward else rows[::-1]

    def truth(
        self, series: Series, *, first_ms: int, last_ms: int, limit: int
    ) -> Iterator[TimedCandle]:
        """The true closed candles, with revisions and without omissions."""
        now_ms = self.clock.now_ms()
        newest_ms = floor_to(now_ms, series.interval_ms) - series.interval_ms
        opens = self.source.opens(
            series.listing,
            series.interval_ms,
            first_ms=first_ms,
            last_ms=min(last_ms, newest_ms),
        )
        for open_ms in islice(opens, limit):
            candle = self.candle(series, open_ms, now_ms=now_ms)
            if candle is not None:
                yield open_ms, candle

    def day(self, listing: Listing) -> TimedCandle | None:
        """The last 24 hours as one candle, from a whole minute on; None without a trade."""
        now_ms = self.clock.now_ms()
        start_ms = max(listing.listed_ms, floor_to(now_ms - DAY_MS, MINUTE_MS) + MINUTE_MS)
        candle = self.source.window(listing, start_ms=start_ms, now_ms=now_ms)
        return None if candle is None else (start_ms, candle)
