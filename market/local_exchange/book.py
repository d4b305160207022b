"""The exchange's books: the candles of its source as each reader gets to see them.

Streams and REST see revisions and omissions; `truth` is what a reader that missed nothing must
end up with.
"""

from __future__ import annotations

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
from market.local_exchange.clock import Clock
from market.local_exchange.faults import FaultBook, Kind

TimedCandle = tuple[int, TickCandle]


@dataclass(frozen=True, slots=True)
class Series:
    """A series that exists: its key, what is traded, and its interval's length."""

    key: SeriesKey
    listing: Listing
    interval_ms: int


class Book:
    """Candles by series, through the faults in force."""

    def __init__(self, source: CandleSource, clock: Clock, faults: FaultBook) -> None:
        self.source = source
        self.clock = clock
        self.faults = faults

    def listings(self, market: str) -> list[Listing]:
        """Everything traded in a market."""
        return [listing for listing in self.source.listings() if listing.market == market]

    def listing(self, market: str, symbol: str) -> Listing | None:
        """What is traded under `symbol` in a market, if anything."""
        found = (one for one in self.listings(market) if one.symbol == symbol)
        return next(found, None)

    def series(self, listing: Listing, interval: str) -> Series | None:
        """The series of a listing and an interval; None when there is no such interval."""
        interval_ms = self.source.intervals(listing).get(interval)
        if interval_ms is None:
            return None
        return Series(SeriesKey(listing.market, listing.symbol, interval), listing, interval_ms)

    def find(self, key: SeriesKey) -> Series | None:
        """The series under a key, if it exists."""
        listing = self.listing(key.market, key.symbol)
        return self.series(listing, key.interval) if listing is not None else None

    def candle(self, series: Series, open_ms: int, *, now_ms: int) -> TickCandle | None:
        """One candle as it stands, revisions included."""
        candle = self.source.candle(
            series.listing, series.interval_ms, open_ms=open_ms, now_ms=now_ms
        )
        if candle is None or open_ms + series.interval_ms > now_ms:
            return candle
        return self._revised(series, open_ms, candle)

    def omits(self, series: Series, open_ms: int, *, on_rest: bool) -> bool:
        """Whether a fault keeps this candle from the streams, or from REST."""
        return any(
            fault.chooses(open_ms, series.interval_ms)
            for fault in self.faults.of(Kind.OMIT, *series.key)
            if fault.request.rest or not on_rest
        )

    def page(
        self, series: Series, *, first_ms: int | None, last_ms: int | None, limit: int
    ) -> list[TimedCandle]:
        """A REST page: the first `limit` candles from first_ms on, or the newest up to last_ms.

        Both bounds are on open times and inclusive; the last candle may be open still.
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
        """Closed candles as they really are, revisions included and nothing omitted."""
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
        """The last 24 hours as one candle, from a whole minute on; None without any trade."""
        now_ms = self.clock.now_ms()
        start_ms = max(listing.listed_ms, floor_to(now_ms - DAY_MS, MINUTE_MS) + MINUTE_MS)
        candle = self.source.window(listing, start_ms=start_ms, now_ms=now_ms)
        return None if candle is None else (start_ms, candle)

    def _revised(self, series: Series, open_ms: int, candle: TickCandle) -> TickCandle:
        for fault in self.faults.of(Kind.REVISE, *series.key):
            if fault.chooses(open_ms, series.interval_ms):
                candle = fault.revised(candle, series.listing)
        return candle
