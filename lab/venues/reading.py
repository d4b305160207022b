"""What a read of history makes of a venue: what is stored, and what is said to be missing."""

from __future__ import annotations

from typing import NamedTuple

from lab.venues.habits import Habits
from lab.venues.table import Venue
from lab.venues.truth import Truth
from lab.venues.venue import open_venue, series_at
from market.domain.candle import Candle
from market.domain.feed import FeedError, Missing
from market.exchanges.ccxt_history import History


class Reading(NamedTuple):
    """The result by open time: candles, and the reasons of those that are missing."""

    candles: dict[int, Candle]
    missing: dict[int, Missing]
    requests: int
    error: str = ""


async def reading(
    venue: Venue, truth: Truth, span: tuple[int, int], habits: Habits | None = None
) -> Reading:
    """Read the minutes of a span (open times, inclusive); what a later page says counts."""
    exchange = open_venue(venue, truth, habits)
    series = series_at(venue.id, venue.market)
    candles: dict[int, Candle] = {}
    missing: dict[int, Missing] = {}
    error = ""
    try:
        async for page in History(exchange).pages(series, *span):
            for hole in page.holes:
                times = range(hole.from_time, hole.to_time + 1, series.timeframe.seconds)
                missing |= dict.fromkeys(times, hole.why)
            candles |= {one.candle_time: one for one in page.candles}
    except FeedError as failed:
        error = f"{type(failed).__name__}: {failed}"
    finally:
        await exchange.close()
    missing = {time: why for time, why in missing.items() if time not in candles}
    return Reading(candles, missing, len(exchange.asked), error)
