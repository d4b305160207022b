"""Small candles and series for tests."""

from __future__ import annotations

from market.domain.candle import Candle
from market.domain.feed import HistoryPage, Hole, Missing
from market.domain.gaps import missing_runs
from market.domain.series import SeriesId
from market.stores.memory import MemoryCandleStore

MINUTE = SeriesId.parse("binance:futures:BTC/USDT:1m")


def candle(time: int, close: float = 1.5, volume: float = 10.0) -> Candle:
    """A possible candle at `time` whose close tells it from another at the same time."""
    return Candle(time, 1.0, max(2.0, close), min(0.5, close), close, volume)


def candles(*times: int) -> list[Candle]:
    """One candle for each open time."""
    return [candle(time) for time in times]


def history_page(
    found: list[Candle],
    asked: tuple[int, int],
    series: SeriesId = MINUTE,
    why: Missing = Missing.UNANSWERED,
) -> HistoryPage:
    """One answer: holes between its candles are quiet, holes at its ends are missing for `why`."""
    times = [one.candle_time for one in found]
    holes = (
        Hole(
            from_time=first,
            to_time=last,
            why=Missing.QUIET if times and times[0] < first and last < times[-1] else why,
        )
        for first, last in missing_runs(times, *asked, series.timeframe)
    )
    return HistoryPage(candles=found, asked=asked, holes=tuple(holes))


class ReplacedStore:
    """A store in whose place another may be put, as by a failover or a restore."""

    def __init__(self):
        self.current = MemoryCandleStore()

    def __getattr__(self, name):
        return getattr(self.current, name)
