"""History made of an exchange's trades, where they reach further back than its candles.

A page of trades can be asked for "after this one" on few exchanges; each has its own way, which is
a row of PAGERS. Trades in order and without a hole between two pages are what complete candles and
quiet times are proven by.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any, Protocol

from typing_extensions import override

from market.domain.candle import Candle, CandleError
from market.domain.feed import FeedError, HistoryPage, HistorySource, Hole, Missing, TradesNotServed
from market.domain.gaps import missing_runs
from market.domain.series import SeriesId
from market.domain.timeframe import Timeframe
from market.domain.trades import Trade, TradeBars
from market.exchanges.ccxt_client import feed_errors, symbol_of
from market.exchanges.ccxt_history import History


class Pager(Protocol):
    """How one exchange is asked for the trades after a place."""

    def first(self, start: int) -> dict[str, Any]:
        """The parameters for the first page: trades from `start` (Unix seconds) on."""
        ...

    def following(self, page: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """The parameters for the page after one of ccxt's trades."""
        ...


class KrakenPager(Pager):
    """`since` is a time in nanoseconds, exclusive; each answer names that of its last trade.

    ccxt asks in whole seconds, which a busy second would never get past, and adds the name to the
    end of the last trade's row.
    """

    @override
    def first(self, start: int) -> dict[str, Any]:
        return {"since": str(max(0, start * 10**9 - 1))}

    @override
    def following(self, page: Sequence[dict[str, Any]]) -> dict[str, Any]:
        ends = (str(trade["info"][-1]) for trade in page)
        named = [int(end) for end in ends if len(end) >= 16 and end.isdigit()]
        if not named:
            raise FeedError("the answer does not name its last trade")
        return {"since": str(max(named))}


PAGERS: dict[str, Pager] = {"kraken": KrakenPager()}


class TradeHistory(HistorySource):
    """Candles of one exchange, made of its trades page by page."""

    def __init__(self, exchange: Any, history: History) -> None:
        self._exchange = exchange
        self._history = history

    @override
    async def history(self, series: SeriesId, start: int, end: int) -> AsyncIterator[HistoryPage]:
        """Complete candles with ``start <= candle_time <= end``; a page for each that has any.

        A time without trades between two trades is quiet. What comes before the first trade that
        the exchange has is unanswered, and so is a candle that no later trade shows complete.
        """
        timeframe, step = series.timeframe, series.timeframe.seconds
        bars = TradeBars(timeframe)
        cursor, has_traded = start, False
        async for trades in self._pages(series, start):
            try:
                made = bars.add(trades)
            except CandleError as error:
                raise FeedError(f"{series}: an invalid trade: {error}") from error
            # The candle of the last trade may not be complete.
            last = min(end, timeframe.open_of(trades[-1].time_ms // 1000) - step)
            found = [candle for candle in made if cursor <= candle.candle_time <= last]
            if cursor <= last:
                holes = _holes(found, (cursor, last), timeframe, has_traded=has_traded)
                yield HistoryPage(candles=found, asked=(cursor, last), holes=holes)
                cursor = last + step
            has_traded = True
            if cursor > end:
                return
        if cursor <= end:
            hole = Hole(from_time=cursor, to_time=end, why=Missing.UNANSWERED, detail="no trades")
            yield HistoryPage(candles=[], asked=(cursor, end), holes=(hole,))

    async def _pages(self, series: SeriesId, start: int) -> AsyncIterator[list[Trade]]:
        """Trades from `start` on, in the order in which they were made, each once."""
        pager = PAGERS.get(series.exchange)
        if pager is None or not self._exchange.has.get("fetchTrades"):
            raise TradesNotServed(
                "the trades of %(exchange)s can't be read from a given time on (known: %(known)s)",
                exchange=series.exchange,
                known=", ".join(sorted(PAGERS)),
            )
        await self._history.load(series)
        asked, newest = pager.first(start), (-1, -1)
        while True:
            with feed_errors(f"{series}: trades"):
                rows = await self._exchange.fetch_trades(symbol_of(series), params=asked)
                # ccxt sorts numbers of one millisecond as texts.
                trades = sorted(map(_trade, rows), key=lambda trade: trade[:2])
            trades = [trade for trade in trades if trade[:2] > newest]
            if not trades:
                return
            yield trades
            newest = trades[-1][:2]
            following = pager.following(rows)
            if following == asked:
                raise FeedError(f"{series}: its trades do not go on after {asked}")
            asked = following


def _trade(row: dict[str, Any]) -> Trade:
    number = str(row["id"])
    return Trade(
        int(row["timestamp"]),
        int(number) if number.isdigit() else 0,
        float(row["price"]),
        float(row["amount"]),
    )


def _holes(
    found: Sequence[Candle], asked: tuple[int, int], timeframe: Timeframe, *, has_traded: bool
) -> tuple[Hole, ...]:
    """What a page of trades has no candle for: quiet, but not before the first trade of all."""
    times = [candle.candle_time for candle in found]
    return tuple(
        Hole(
            from_time=first,
            to_time=last,
            why=Missing.QUIET if has_traded or first > asked[0] else Missing.UNANSWERED,
            detail="" if has_traded or first > asked[0] else "before the first trade",
        )
        for first, last in missing_runs(times, *asked, timeframe)
    )
