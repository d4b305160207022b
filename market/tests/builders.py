"""Small candles and series for tests."""

from __future__ import annotations

from market.domain.candle import Candle
from market.domain.series import SeriesId
from market.stores.memory import MemoryCandleStore

MINUTE = SeriesId.parse("binance:futures:BTC/USDT:1m")


def candle(time: int, close: float = 1.5, volume: float = 10.0) -> Candle:
    """A possible candle at `time` whose close tells it from another at the same time."""
    return Candle(time, 1.0, max(2.0, close), min(0.5, close), close, volume)


def candles(*times: int) -> list[Candle]:
    """One candle for each open time."""
    return [candle(time) for time in times]


class ReplacedStore:
    """A store in whose place another may be put, as by a failover or a restore."""

    def __init__(self):
        self.current = MemoryCandleStore()

    def __getattr__(self, name):
        return getattr(self.current, name)
