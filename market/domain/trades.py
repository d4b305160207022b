"""Candles made of trades, by the roll-up that makes longer candles of shorter ones."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import NamedTuple

from market.domain.candle import Candle, sourced
from market.domain.rollup import roll_up
from market.domain.timeframe import Timeframe

SECOND = Timeframe.parse("1s")
# Amounts are added as whole numbers of this part, so that a sum is exactly the exchange's: doubles
# would add up to 0.30000000000000004.
DIGITS = 18


class Trade(NamedTuple):
    """One trade: Unix milliseconds, and the exchange's number for its place among others."""

    time_ms: int
    number: int
    price: float
    amount: float


class TradeBars:
    """Makes candles of trades that come in the order in which they were made.

    It holds one unfinished candle, however many trades that has.
    """

    def __init__(self, timeframe: Timeframe) -> None:
        self._timeframe = timeframe
        self._unfinished: list[Candle] = []

    def add(self, trades: Iterable[Trade]) -> list[Candle]:
        """The candles that later trades show to be complete, ascending; quiet times have none.

        Raises CandleError for a trade without a possible price or amount.
        """
        rows = [*self._unfinished, *map(_as_row, trades)]
        made = [bucket.candle for bucket in roll_up(rows, SECOND, self._timeframe)]
        self._unfinished = made[-1:]
        return [
            sourced(candle._replace(volume=candle.volume / 10**DIGITS), self._timeframe)
            for candle in made[:-1]
        ]


def _as_row(trade: Trade) -> Candle:
    price, scaled = trade.price, int(Decimal(repr(trade.amount)).scaleb(DIGITS))
    return Candle(trade.time_ms // 1000, price, price, price, price, scaled)
