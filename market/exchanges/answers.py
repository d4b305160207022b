"""One request for candles and its answer, with the window that was really asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import ccxt

from market.domain.candle import Candle
from market.domain.feed import FeedError, Hole, Missing
from market.domain.gaps import merged, missing_runs
from market.domain.series import SeriesId
from market.domain.timeframe import Timeframe
from market.exchanges.asked_window import TRACE, Trace, Window, asked_window
from market.exchanges.ccxt_client import feed_errors, symbol_of
from market.exchanges.rows import RefusedRow, read_rows

# Statuses of a request that the exchange refuses for what it asks.
_REFUSING = frozenset({400, 404, 409, 410, 413, 414, 416, 422})
_SERVER_ERROR = 500

# ccxt's classes raise one of these for a body that is not what they expect.
_UNREADABLE = (
    ccxt.BadResponse,
    ArithmeticError,
    AttributeError,
    IndexError,
    KeyError,
    TypeError,
    ValueError,
)
# ccxt's errors about who asks, or the whole series, rather than about the window.
_NOT_THE_WINDOW = (
    ccxt.BadSymbol,
    ccxt.NotSupported,
    ccxt.ArgumentsRequired,
    ccxt.AuthenticationError,
)


_OTHER_UNIT = RefusedRow(None, "its time is in another unit", is_unreadable=True)


class RequestRefused(FeedError):
    """The exchange refuses this request: its window, perhaps, or everything."""


class UnreadableAnswer(FeedError):
    """The exchange answers with what are no candles, again and again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What one request brought: candles and refused rows, also from outside of the window.

    `problem` is why the whole answer could not be read.
    """

    window: Window
    candles: list[Candle]
    refused: Sequence[RefusedRow] = ()
    problem: str = ""

    def slots(self, start: int, end: int) -> list[int]:
        """The times within a range (inclusive) that have a candle or a refused row, ascending."""
        times = [candle.candle_time for candle in self.candles]
        times += [row.slot for row in self.refused if row.slot is not None]
        return sorted({time for time in times if start <= time <= end})


async def ask(
    exchange: Any,
    series: SeriesId,
    name: str,
    since: int,
    limit: int,
    *,
    until: int | None = None,
) -> Answer:
    """Request `limit` candles from `since` on (ccxt calls the timeframe `name`).

    Raises RequestRefused when the exchange refuses the request, and FeedError and its other kinds
    as everywhere.
    """
    trace = Trace()
    token = TRACE.set(trace)
    params = {} if until is None else {"until": until * 1000}
    rows: Any = []
    problem = ""
    try:
        with feed_errors(str(series)):
            try:
                rows = await exchange.fetch_ohlcv(
                    symbol_of(series), name, since * 1000, limit, params
                )
            except (ccxt.BaseError, *_UNREADABLE) as error:
                if _is_refusal(error, trace):
                    raise RequestRefused(f"{series}: {error}"[:300]) from error
                if not _is_unreadable(error, trace):
                    raise
                problem = f"unreadable answer: {type(error).__name__}: {error}"[:200]
    finally:
        TRACE.reset(token)
    if not (rows or problem or trace.is_json):
        problem = "unreadable answer: it is not JSON"
    window = asked_window(trace, since, limit, series.timeframe)
    candles, refused = read_rows(rows or [], series.timeframe)
    # Times in seconds, read as milliseconds, lie in 1970.
    strange = [one for one in candles if one.candle_time < since // 10]
    candles = candles[len(strange) :]
    refused = [_OTHER_UNIT for _ in strange] + [
        _OTHER_UNIT if row.slot is not None and row.slot < since // 10 else row for row in refused
    ]
    if refused and not candles and all(row.is_unreadable for row in refused):
        problem = f"{len(refused)} unreadable rows, the first: {refused[0].reason}"
        refused = []
    return Answer(window=window, candles=candles, refused=refused, problem=problem)


def _is_refusal(error: Exception, trace: Trace) -> bool:
    if trace.status in _REFUSING:
        # ccxt takes an unknown body with such a status for an outage.
        return not isinstance(error, (*_NOT_THE_WINDOW, ccxt.RateLimitExceeded))
    is_answer = 0 < trace.status < _SERVER_ERROR and trace.is_json
    is_ours = isinstance(error, (*_NOT_THE_WINDOW, ccxt.OperationFailed))
    return is_answer and isinstance(error, ccxt.ExchangeError) and not is_ours


def _is_unreadable(error: Exception, trace: Trace) -> bool:
    if trace.status >= _SERVER_ERROR:
        return False
    is_page = trace.status > 0 and not trace.is_json and isinstance(error, ccxt.ExchangeError)
    return isinstance(error, _UNREADABLE) or is_page


def holes_of(
    answer: Answer,
    asked: tuple[int, int],
    timeframe: Timeframe,
    *,
    bars: tuple[int, int],
    edges: tuple[Missing, str],
) -> tuple[Hole, ...]:
    """Every missing candle of `asked`, with the reason.

    `bars` are the first and the last closed candle that one answer shows: what is missing between
    them is quiet. What is missing outside of them is so for the reason `edges`.
    """
    have = {one.candle_time for one in answer.candles if asked[0] <= one.candle_time <= asked[1]}
    slots = answer.slots(*asked)
    unread = [time for time in slots if time not in have]
    holes = [
        _dropped(answer.refused, first, last)
        for first, last in merged(((time, time) for time in unread), reach=timeframe.seconds)
    ]
    # A refused row without a time may be any of the missing ones.
    stray = [row for row in answer.refused if row.slot is None]
    for first, last in missing_runs(slots, *asked, timeframe):
        if not (bars[0] < first and last < bars[1]):
            holes.append(Hole(from_time=first, to_time=last, why=edges[0], detail=edges[1]))
        elif stray:
            why, detail = Missing.DROPPED, stray[0].reason
            hole = Hole(from_time=first, to_time=last, why=why, detail=detail, rows=len(stray))
            holes.append(hole)
        else:
            holes.append(Hole(from_time=first, to_time=last, why=Missing.QUIET))
    return tuple(sorted(holes, key=lambda hole: hole.from_time))


def _dropped(refused: Sequence[RefusedRow], first: int, last: int) -> Hole:
    inside = [row for row in refused if row.slot is not None and first <= row.slot <= last]
    return Hole(
        from_time=first,
        to_time=last,
        why=Missing.DROPPED,
        detail=inside[0].reason,
        rows=len(inside),
    )
