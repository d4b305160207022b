"""Live candles by asking over REST, for exchanges and timeframes that have no stream."""

from __future__ import annotations

import asyncio

from market.domain.candle import Candle
from market.domain.feed import Closed, FeedError, FeedRefused, Forming, Interrupted
from market.domain.series import SeriesId
from market.exchanges.ccxt_history import History
from market.exchanges.outlet import Outlet
from market.exchanges.stream_limits import StreamLimits

# Newest closed candles read each time: enough to see a late correction.
_COUNT = 3
# A candle that is over is asked for after this (seconds), then ever more slowly.
_FIRST_ASK_S = 0.5
_SLOWEST_ASK_S = 15.0


async def poll(series: SeriesId, history: History, *, outlet: Outlet, limits: StreamLimits) -> None:
    """Ask until cancelled. Raises FeedRefused when the exchange has no such candles."""
    failures = 0
    known: dict[int, Candle] = {}
    late = 0
    while True:
        try:
            known = await _read(series, history, outlet=outlet, known=known)
            now = await history.now()
        except FeedRefused:
            raise
        except FeedError as error:
            failures += 1
            outlet.put(Interrupted(series, str(error)))
            await asyncio.sleep(limits.retry_after(failures))
            continue
        failures = 0
        newest = max(known, default=0)
        late = late + 1 if newest < series.timeframe.latest_closed(now) else 0
        await asyncio.sleep(_pause(series, now, late))


async def _read(
    series: SeriesId, history: History, *, outlet: Outlet, known: dict[int, Candle]
) -> dict[int, Candle]:
    recent = await history.recent(series, _COUNT)
    for candle in recent.closed:
        if known.get(candle.candle_time) != candle:
            outlet.put(Closed(series, candle))
    if recent.forming is not None:
        outlet.put(Forming(series, recent.forming))
    return {candle.candle_time: candle for candle in recent.closed[-_COUNT:]} or known


def _pause(series: SeriesId, now: float, late: int) -> float:
    """Until shortly after the next close, or sooner for the open candle or one that is late."""
    length = series.timeframe.seconds
    until_close = series.timeframe.open_of(now) + length - now + _FIRST_ASK_S
    if late:
        return min(until_close, _SLOWEST_ASK_S, _FIRST_ASK_S * 2.0 ** min(late, 10))
    return min(until_close, max(2.0, min(60.0, length / 12)))
