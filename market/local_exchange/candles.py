"""Candles in whole ticks, their listings, and the port of a candle source.

With integers an aggregate is exactly equal to the sum of its parts, in any order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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


def floor_to(moment_ms: int, size_ms: int, offset_ms: int = 0) -> int:
    """The open time of the candle of `size_ms` that contains `moment_ms` (both milliseconds).

    `offset_ms` is how much later than usual candles open.
    """
    origin = offset_ms + (_MONDAY_MS if size_ms == WEEK_MS else 0)
    return moment_ms - (moment_ms - origin) % size_ms


class TickCandle(NamedTuple):
    """Prices in whole price ticks, volume in whole volume steps of its listing."""

    open: int
    high: int
    low: int
    close: int
    volume: int


def merge(candles: Sequence[TickCandle]) -> TickCandle:
    """The aggregate of adjacent candles (at least one)."""
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
    """`units` of 10**-decimals as a decimal text, as Binance sends it."""
    if not decimals:
        return str(units)
    whole, part = divmod(units, 10**decimals)
    return f"{whole}.{part:0{decimals}d}"


@dataclass(frozen=True, slots=True)
class Listing:
    """A symbol that trades in one market of the exchange, and its precision.

    A price tick is 10**-price_decimals of the quote, a volume step 10**-volume_decimals of the
    base asset. `listed_ms` is when trading began; it is halted unless `is_trading`.
    """

    market: str
    base: str
    quote: str
    price_decimals: int
    volume_decimals: int
    listed_ms: int
    is_trading: bool = True

    @property
    def symbol(self) -> str:
        """Binance's name of it: base and quote joined."""
        return self.base + self.quote

    def price_text(self, ticks: int) -> str:
        """A price in ticks as text."""
        return decimal_text(ticks, self.price_decimals)

    def volume_text(self, steps: int) -> str:
        """A volume in steps as text."""
        return decimal_text(steps, self.volume_decimals)


class SeriesKey(NamedTuple):
    """The name of a series on the exchange: market, Binance symbol, Binance interval."""

    market: str
    symbol: str
    interval: str


class CandleSource(Protocol):
    """Supplies the exchange with candles. All times are milliseconds, UTC."""

    @property
    def finest_ms(self) -> int:
        """The length that every candle is made of whole ones of."""
        ...

    def listings(self) -> Sequence[Listing]:
        """Everything that trades."""
        ...

    def intervals(self, listing: Listing) -> Mapping[str, int]:
        """The intervals of a listing, with their lengths."""
        ...

    def opens(
        self,
        listing: Listing,
        interval_ms: int,
        *,
        first_ms: int,
        last_ms: int,
        offset_ms: int = 0,
    ) -> Sequence[int]:
        """Ascending open times of the candles that open within first_ms..last_ms, inclusive.

        They open `offset_ms`, a multiple of `finest_ms`, later than usual.
        """
        ...

    def candle(
        self, listing: Listing, interval_ms: int, *, open_ms: int, now_ms: int
    ) -> TickCandle | None:
        """The candle's state at `now_ms`; None without a trade until then."""
        ...

    def window(self, listing: Listing, *, start_ms: int, now_ms: int) -> TickCandle | None:
        """One candle of all trades from `start_ms` (a whole minute) to `now_ms`."""
        ...
