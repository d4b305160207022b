"""Candles generated from a seed: an endless history, a pure function of seed and time.

Weekly candles come from layered noise, and every shorter candle from splitting the longer one that
contains it. Any time is reached in a few splits, and candles of all lengths agree exactly.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from typing_extensions import override

from market.local_exchange.candles import (
    DAY_MS,
    FUTURES,
    HOUR_MS,
    INTERVALS,
    MARKETS,
    MINUTE_MS,
    SECOND_MS,
    SPOT,
    WEEK_MS,
    CandleSource,
    Listing,
    TickCandle,
    floor_to,
    merge,
)
from market.local_exchange.refine import keyed_random, refine

# The ladder of lengths: each divides the one before it.
TICK_MS = 250
LADDER = (WEEK_MS, DAY_MS, HOUR_MS, 5 * MINUTE_MS, MINUTE_MS, SECOND_MS, TICK_MS)
# From this length down, spot and futures of one base differ.
_OWN_PATH_FROM = LADDER.index(HOUR_MS)

# 2019-01-07 00:00 UTC, a Monday: when trading began.
LISTED_MS = 1_546_819_200_000

# Periods of the noise under the weekly price, in weeks.
_PERIODS = (1, 2, 4, 8, 16, 32, 64)
_SPLITS_KEPT = 512
_WEEKS_KEPT = 1_024


@dataclass(frozen=True, slots=True)
class Character:
    """How a symbol trades: typical price (USDT), volatility and volume (base) of one day."""

    base: str
    price: float
    volatility: float
    volume: float
    spot_decimals: tuple[int, int]
    futures_decimals: tuple[int, int]


CHARACTERS = (
    Character("BTC", 96_000, 0.024, 21_000, (2, 5), (1, 3)),
    Character("ETH", 3_300, 0.033, 330_000, (2, 4), (2, 3)),
    Character("SOL", 180, 0.042, 3_400_000, (2, 3), (2, 2)),
    Character("BNB", 640, 0.027, 260_000, (2, 3), (2, 2)),
    Character("XRP", 2.2, 0.041, 190_000_000, (4, 1), (4, 1)),
    Character("DOGE", 0.24, 0.046, 1_100_000_000, (5, 0), (5, 0)),
    Character("ADA", 0.78, 0.043, 120_000_000, (4, 1), (4, 0)),
    Character("LINK", 19, 0.044, 4_600_000, (2, 2), (3, 2)),
    Character("AVAX", 36, 0.047, 5_200_000, (2, 2), (3, 0)),
    Character("LTC", 105, 0.036, 1_100_000, (2, 3), (2, 3)),
)

# Perpetuals trade at a small premium and with more volume.
_PREMIUM = {SPOT: 1.0, FUTURES: 1.0004}
_ACTIVITY = {SPOT: 1.0, FUTURES: 4.5}


class PricePath:
    """The whole history of one listing: an aggregate over any span costs O(log) splits."""

    def __init__(self, seed: int, listing: Listing, character: Character) -> None:
        self.listing = listing
        self._seed = seed
        self._character = character
        self._week = lru_cache(_WEEKS_KEPT)(self._make_week)
        self._week_price = lru_cache(_WEEKS_KEPT)(self._make_week_price)
        self._split = lru_cache(_SPLITS_KEPT)(self._make_split)

    def span(self, start_ms: int, end_ms: int) -> TickCandle:
        """Everything traded in [start_ms, end_ms), two multiples of TICK_MS, as one candle."""
        parts = []
        at = start_ms
        while at < end_ms:
            level = self._longest(at, end_ms)
            parts.append(self._unit(level, at))
            at += LADDER[level]
        return merge(parts)

    def _longest(self, at: int, end_ms: int) -> int:
        """The level of the longest ladder unit that opens at `at` and ends by `end_ms`."""
        for level, size in enumerate(LADDER):
            if at + size <= end_ms and floor_to(at, size) == at:
                return level
        raise ValueError(f"{at}..{end_ms} is not made of whole ticks of {TICK_MS} ms")

    def _unit(self, level: int, start_ms: int) -> TickCandle:
        if level == 0:
            return self._week(start_ms)
        parent_ms = floor_to(start_ms, LADDER[level - 1])
        return self._split(level - 1, parent_ms)[(start_ms - parent_ms) // LADDER[level]]

    def _make_split(self, level: int, start_ms: int) -> tuple[TickCandle, ...]:
        """The candles of the next level within the unit at `start_ms`."""
        own = self.listing.market if level >= _OWN_PATH_FROM else ""
        random = keyed_random(self._seed, self.listing.symbol, own, level, start_ms)
        return refine(self._unit(level, start_ms), LADDER[level] // LADDER[level + 1], random)

    def _make_week(self, start_ms: int) -> TickCandle:
        random = keyed_random(self._seed, self.listing.symbol, "week", start_ms)
        opened, closed = self._week_price(start_ms), self._week_price(start_ms + WEEK_MS)
        sigma = self._character.volatility * math.sqrt(7)
        high = max(opened, closed) * math.exp(abs(random.gauss(0, 0.5 * sigma)))
        low = min(opened, closed) * math.exp(-abs(random.gauss(0, 0.5 * sigma)))
        unrest = math.log(high / low) / (1.6 * sigma)
        volume = 7 * self._character.volume * (0.5 + 0.5 * unrest) * math.exp(random.gauss(0, 0.2))
        steps = volume * _ACTIVITY[self.listing.market] * 10**self.listing.volume_decimals
        return TickCandle(
            self._ticks(opened),
            self._ticks(high),
            self._ticks(low),
            self._ticks(closed),
            int(steps),
        )

    def _make_week_price(self, start_ms: int) -> float:
        """The price at which a week opens: layers of smooth noise, the slower the larger."""
        week = start_ms // WEEK_MS
        sigma = 0.5 * self._character.volatility * math.sqrt(7)
        layers = (math.sqrt(period) * self._noise(period, week) for period in _PERIODS)
        return self._character.price * math.exp(sigma * sum(layers))

    def _noise(self, period: int, week: int) -> float:
        index, rest = divmod(week, period)
        before, after = self._knot(period, index), self._knot(period, index + 1)
        share = rest / period
        return before + (after - before) * share * share * (3 - 2 * share)

    def _knot(self, period: int, index: int) -> float:
        return keyed_random(self._seed, self.listing.symbol, "knot", period, index).gauss(0, 1)

    def _ticks(self, price: float) -> int:
        premium = _PREMIUM[self.listing.market]
        ticks: int = round(price * premium * 10**self.listing.price_decimals)
        return max(1, ticks)


def _listing(market: str, character: Character) -> Listing:
    decimals = character.spot_decimals if market == SPOT else character.futures_decimals
    return Listing(market, character.base, "USDT", *decimals, LISTED_MS)


class GeneratedCandles(CandleSource):
    """A candle source that generates its history, the same one for the same seed."""

    def __init__(self, seed: int, characters: Iterable[Character] = CHARACTERS) -> None:
        self._paths = {
            (path.listing.market, path.listing.symbol): path
            for character in characters
            for market in MARKETS
            for path in [PricePath(seed, _listing(market, character), character)]
        }

    @property
    @override
    def finest_ms(self) -> int:
        return TICK_MS

    @override
    def listings(self) -> Sequence[Listing]:
        return [path.listing for path in self._paths.values()]

    @override
    def intervals(self, listing: Listing) -> Mapping[str, int]:
        return INTERVALS

    @override
    def opens(
        self,
        listing: Listing,
        interval_ms: int,
        *,
        first_ms: int,
        last_ms: int,
        offset_ms: int = 0,
    ) -> Sequence[int]:
        # A generated market trades all the time.
        first_ms = max(first_ms, listing.listed_ms)
        aligned = floor_to(first_ms, interval_ms, offset_ms)
        return range(
            aligned if aligned == first_ms else aligned + interval_ms, last_ms + 1, interval_ms
        )

    @override
    def candle(
        self, listing: Listing, interval_ms: int, *, open_ms: int, now_ms: int
    ) -> TickCandle | None:
        if open_ms > now_ms or open_ms < listing.listed_ms:
            return None
        end_ms = min(open_ms + interval_ms, floor_to(now_ms, TICK_MS) + TICK_MS)
        return self._path(listing).span(open_ms, end_ms)

    @override
    def window(self, listing: Listing, *, start_ms: int, now_ms: int) -> TickCandle | None:
        return self._path(listing).span(start_ms, floor_to(now_ms, TICK_MS) + TICK_MS)

    def _path(self, listing: Listing) -> PricePath:
        return self._paths[listing.market, listing.symbol]
