"""Candles counted in whole ticks, the listings they belong to, and the port of a candle source.

Integers make an aggregate exactly equal to what it is made of, whatever the order of the sums.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

SPOT = "spot"
FUTURES = "futures"
MARKETS = (SPOT, FUTURES)

SECOND_MS = 1_000
MINUTE_MS = 60 * SECOND_MS
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS
WEEK_MS = 7 * DAY_MS

# Unix time began on a Thursday, weeks open on Mondays.
_MONDAY_MS = 4 * DAY_MS

# Binance's interval names with their lengths in milliseconds.
INTERVALS: Mapping[str, int] = {
    "1s": SECOND_MS,
    "1m": MINUTE_MS,
    "3m": 3 * MINUTE_MS,
    "5m": 5 * MINUTE_MS,
    "15m": 15 * MINUTE_MS,
    "30m": 30 * MINUTE_MS,
    "1h": HOUR_MS,
    "2h": 2 * HOUR_MS,
    "4h": 4 * HOUR_MS,
    "6h": 6 * HOUR_MS,
    "8h": 8 * HOUR_MS,
    "12h": 12 * HOUR_MS,
    "1d": DAY_MS,
    "3d": 3 * DAY_MS,
    "1w": WEEK_MS,
}


def floor_to(moment_ms: int, size_ms: int) -> int:
    """The open time of the candle of `size_ms` that contains `moment_ms` (both milliseconds)."""
    origin = _MONDAY_MS if size_ms == WEEK_MS else 0
    return moment_ms - (moment_ms - origin) % size_ms


class TickCandle(NamedTuple):
    """Prices in whole price ticks, volume in whole volume steps of its listing."""

    open: int
    high: int
    low: int
    close: int
    volume: int


def merge(candles: Sequence[TickCandle]) -> TickCandle:
    """The candle that a non-empty run of adjacent candles adds up to."""
    if len(candles) == 1:
        return candles[0]
    return TickCandle(
        candles[0].open,
        max(candle.high for candle in candles),
        min(candle.low for candle in candles),
        candles[-1].close,
        sum(candle.volume for candle in candles),
    )


def decimal_text(units: int, decimals: int) -> str:
    """`units` of 10**-decimals as the plain decimal text that Binance sends."""
    if not decimals:
        return str(units)
    whole, part = divmod(units, 10**decimals)
    return f"{whole}.{part:0{decimals}d}"


@dataclass(frozen=True, slots=True)
class Listing:
    """One thing traded in one market of the exchange, and its precision.

    A price tick is 10**-price_decimals of the quote, a volume step 10**-volume_decimals of the
    base asset. `listed_ms` is when trading began.
    """

    market: str
    base: str
    quote: str
    price_decimals: int
    volume_decimals: int
    listed_ms: int

    @property
    def symbol(self) -> str:
        """Binance's name of it: base and quote run together."""
        return self.base + self.quote

    def price_text(self, ticks: int) -> str:
        """A price in ticks as text."""
        return decimal_text(ticks, self.price_decimals)

    def volume_text(self, steps: int) -> str:
        """A volume in steps as text."""
        return decimal_text(steps, self.volume_decimals)


class SeriesKey(NamedTuple):
    """Names one series on the exchange: market, Binance symbol, Binance interval."""

    market: str
    symbol: str
    interval: str


class CandleSource(Protocol):
    """Where the exchange takes its trades from. All times are milliseconds, UTC."""

    def listings(self) -> Sequence[Listing]:
        """Everything that is traded."""
        ...

    def intervals(self, listing: Listing) -> Mapping[str, int]:
        """The intervals it can be read in, with their lengths."""
        ...

    def opens(
        self, listing: Listing, interval_ms: int, *, first_ms: int, last_ms: int
    ) -> Sequence[int]:
        """Ascending open times of the candles that open within first_ms..last_ms, inclusive."""
        ...

    def candle(
        self, listing: Listing, interval_ms: int, *, open_ms: int, now_ms: int
    ) -> TickCandle | None:
        """The candle as it stands at `now_ms`; None when nothing was traded in it until then."""
        ...

    def window(self, listing: Listing, *, start_ms: int, now_ms: int) -> TickCandle | None:
        """Everything traded from `start_ms` (a whole minute) to `now_ms` as one candle."""
        ...


def present(values: Iterable[TickCandle | None]) -> list[TickCandle]:
    """The candles among `values` that exist."""
    return [value for value in values if value is not None]
