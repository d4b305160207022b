"""Whether candles made of trades are those that the exchange makes itself, where it serves both."""

from __future__ import annotations

from dataclasses import dataclass

from market.domain.candle import Candle
from market.domain.feed import Feed, HistorySource
from market.domain.series import SeriesId
from market.ingest.audit import Difference

# The newest candles that are compared: an hour's worth, but at least and at most so many.
SPAN_S = 3_600
LEAST, MOST = 2, 30


@dataclass(frozen=True, slots=True, kw_only=True)
class TradeCheck:
    """How many candles were compared, and where they differ: `stored` is the one made of trades."""

    compared: int
    differences: tuple[Difference, ...]


async def check_trades(feed: Feed, trades: HistorySource, series: SeriesId) -> TradeCheck:
    """Compare the newest candles of an exchange with those made of its trades.

    A candle without volume, as some exchanges send for a quiet time, is none. Raises FeedError.
    """
    step = series.timeframe.seconds
    count = min(MOST, max(LEAST, SPAN_S // step))
    # The newest one has no later trade yet that shows it complete.
    end = series.timeframe.latest_closed(await feed.now()) - step
    start = end - (count - 1) * step
    theirs = await _read(feed, series, start, end)
    made = await _read(trades, series, start, end)
    # Nothing is known before the exchange's first candle, and after the last trade.
    first, last = min(theirs, default=end), max(made, default=start - step)
    times = sorted(time for time in made.keys() | theirs.keys() if first <= time <= last)
    pairs = [
        Difference(candle_time=time, stored=made.get(time), exchange=theirs.get(time))
        for time in times
    ]
    differing = tuple(each for each in pairs if each.stored != each.exchange)
    return TradeCheck(compared=len(pairs), differences=differing)


async def _read(source: HistorySource, series: SeriesId, start: int, end: int) -> dict[int, Candle]:
    return {
        candle.candle_time: candle
        async for page in source.history(series, start, end)
        for candle in page.candles
        if candle.volume
    }
