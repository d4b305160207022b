"""The candles of the exchange as its readers see them, with faults applied, and its clock.

Streams and REST see revisions and omissions; `truth` is what a reader that missed nothing must
have in the end, and `absences` why it can't have the rest.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import groupby, islice

from market.domain.feed import Missing
from market.local_exchange.candles import (
    DAY_MS,
    MINUTE_MS,
    SECOND_MS,
    CandleSource,
    Listing,
    SeriesKey,
    TickCandle,
    floor_to,
)
from market.local_exchange.faults import FaultBook, Kind
from market.local_exchange.habits import NO_HABITS, Absence, Habits, Range, Unanswered

TimedCandle = tuple[int, TickCandle]

# Candles looked at for one answer about absences.
_MOST_LOOKED_AT = 20_000


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
    """An existing series: its key, its listing, the length of its interval, and its habits."""

    key: SeriesKey
    listing: Listing
    interval_ms: int
    offset_ms: int = 0
    habits: Habits = NO_HABITS

    def open_of(self, moment_ms: int) -> int:
        """The open time of the candle that contains a moment."""
        return floor_to(moment_ms, self.interval_ms, self.offset_ms)


class Book:
    """Candles by series, with the active faults applied."""

    def __init__(self, source: CandleSource, clock: Clock, faults: FaultBook) -> None:
        self.source = source
        self.clock = clock
        self.faults = faults
        self.unanswered = Unanswered()

    def listings(self, market: str) -> list[Listing]:
        """Everything traded in a market."""
        listings = [listing for listing in self.source.listings() if listing.market == market]
        return [self._seen(listing) for listing in listings] if self.faults.version else listings

    def _seen(self, listing: Listing) -> Listing:
        """A listing with what faults do to it."""
        scope = (listing.market, listing.symbol)
        listed = [
            fault.request.at * SECOND_MS for fault in self.faults.of(Kind.LATE_LISTING, *scope)
        ]
        return replace(
            listing,
            listed_ms=max(listing.listed_ms, *listed, 0),
            is_trading=self.faults.first(Kind.HALT, *scope) is None,
        )

    def listing(self, market: str, symbol: str) -> Listing | None:
        """The listing with this symbol in a market, if there is one."""
        found = (one for one in self.listings(market) if one.symbol == symbol)
        return next(found, None)

    def series(self, listing: Listing, interval: str) -> Series | None:
        """The series of a listing and an interval; None for an unknown interval."""
        interval_ms = self.source.intervals(listing).get(interval)
        if interval_ms is None:
            return None
        key = SeriesKey(listing.market, listing.symbol, interval)
        habits = Habits(self.faults.of_series(key)) if self.faults.version else NO_HABITS
        offset_ms = habits.offset_ms % interval_ms
        offset_ms -= offset_ms % self.source.finest_ms
        return Series(key, listing, interval_ms, offset_ms, habits)

    def find(self, key: SeriesKey) -> Series | None:
        """The series under a key, if it exists."""
        listing = self.listing(key.market, key.symbol)
        return self.series(listing, key.interval) if listing is not None else None

    def candle(
        self, series: Series, open_ms: int, *, now_ms: int, is_final: bool = False
    ) -> TickCandle | None:
        """One candle in its current state, with revisions; `is_final`: after later corrections."""
        if series.habits.untraded(open_ms, series.interval_ms) is not None:
            return None
        candle = self.source.candle(
            series.listing, series.interval_ms, open_ms=open_ms, now_ms=now_ms
        )
        if candle is None or open_ms + series.interval_ms > now_ms:
            return candle
        for fault in series.habits.of(Kind.REVISE):
            if fault.chooses(open_ms, series.interval_ms):
                candle = fault.revised(candle, series.listing)
        if is_final:
            return candle
        return series.habits.provisional(
            candle,
            series.listing,
            open_ms=open_ms,
            interval_ms=series.interval_ms,
            now_ms=now_ms,
        )

    def omits(self, series: Series, open_ms: int, *, on_rest: bool) -> bool:
        """Whether a fault omits this candle from the streams, or from REST."""
        return any(
            fault.chooses(open_ms, series.interval_ms)
            for fault in series.habits.of(Kind.OMIT)
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
            series.listing,
            series.interval_ms,
            first_ms=max(first_ms or 0, self.oldest_served_ms(series)),
            last_ms=last_ms,
            offset_ms=series.offset_ms,
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

    def asked(
        self, series: Series, *, first_ms: int | None, last_ms: int | None, limit: int
    ) -> Range:
        """The candles that the same arguments of `page` ask for."""
        now_ms = self.clock.now_ms()
        last_ms = series.open_of(now_ms if last_ms is None else min(last_ms, now_ms))
        reach_ms = (limit - 1) * series.interval_ms
        if first_ms is None:
            return Range(last_ms - reach_ms, last_ms)
        opened = series.open_of(first_ms)
        first_ms = opened if opened == first_ms else opened + series.interval_ms
        return Range(first_ms, min(last_ms, first_ms + reach_ms))

    def oldest_served_ms(self, series: Series) -> int:
        """The open time of the oldest candle that REST serves."""
        current_ms = series.open_of(self.clock.now_ms())
        return series.habits.oldest_served_ms(current_ms, series.interval_ms)

    def truth(
        self, series: Series, *, first_ms: int, last_ms: int, limit: int
    ) -> Iterator[TimedCandle]:
        """The true closed candles, with revisions and without omissions."""
        now_ms = self.clock.now_ms()
        newest_ms = series.open_of(now_ms) - series.interval_ms
        opens = self.source.opens(
            series.listing,
            series.interval_ms,
            first_ms=first_ms,
            last_ms=min(last_ms, newest_ms),
            offset_ms=series.offset_ms,
        )
        for open_ms in islice(opens, limit):
            candle = self.candle(series, open_ms, now_ms=now_ms, is_final=True)
            if candle is not None:
                yield open_ms, candle

    def absences(self, series: Series, *, first_ms: int, last_ms: int) -> list[Absence]:
        """Which closed candles can't be read over REST, and the true reason of each range."""
        newest_ms = series.open_of(self.clock.now_ms()) - series.interval_ms
        first_ms = series.open_of(first_ms + series.interval_ms - 1)
        last_ms = min(last_ms, newest_ms, first_ms + _MOST_LOOKED_AT * series.interval_ms)
        traded = set(
            self.source.opens(
                series.listing,
                series.interval_ms,
                first_ms=first_ms,
                last_ms=last_ms,
                offset_ms=series.offset_ms,
            )
        )
        reasons = (
            (
                (Missing.QUIET, None) if open_ms not in traded else self._absent(series, open_ms),
                open_ms,
            )
            for open_ms in range(first_ms, last_ms + 1, series.interval_ms)
        )
        absences = []
        for reason, group in groupby(reasons, key=lambda each: each[0]):
            times = [open_ms for _, open_ms in group]
            if reason is not None:
                absences.append(Absence(Range(times[0], times[-1]), *reason))
        return absences

    def _absent(self, series: Series, open_ms: int) -> tuple[Missing, Kind | None] | None:
        """Why a traded candle can't be read over REST; None if it can."""
        habits = series.habits
        untraded = habits.untraded(open_ms, series.interval_ms)
        if untraded is not None:
            return Missing.QUIET, untraded
        if self.omits(series, open_ms, on_rest=True):
            return Missing.QUIET, Kind.OMIT
        if open_ms < self.oldest_served_ms(series):
            return Missing.UNSERVED, None
        bad = habits.bad_row(open_ms, series.interval_ms, on="rest")
        if bad is not None and bad.request.row != "dust":
            return Missing.DROPPED, Kind.BAD_ROWS
        if self.unanswered.has(series.key, open_ms):
            return Missing.UNANSWERED, Kind.UNUSABLE
        return None

    def day(self, listing: Listing) -> TimedCandle | None:
        """The last 24 hours as one candle, from a whole minute on; None without a trade."""
        now_ms = self.clock.now_ms()
        start_ms = max(listing.listed_ms, floor_to(now_ms - DAY_MS, MINUTE_MS) + MINUTE_MS)
        candle = self.source.window(listing, start_ms=start_ms, now_ms=now_ms)
        return None if candle is None else (start_ms, candle)
