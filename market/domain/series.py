"""Series ids: the coordinate ``exchange:market:symbol:timeframe`` and its only parser."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from market.domain.explained import Explained
from market.domain.timeframe import Timeframe, TimeframeError

MAX_LENGTH = 200

# Control characters are never part of a symbol, and PostgreSQL can't store NUL.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


class SeriesIdError(Explained, ValueError):
    """An invalid series id. The message is part of the wire contract."""


@dataclass(frozen=True, slots=True, order=True)
class SeriesId:
    """One stream of candles: an exchange's market, a symbol and a timeframe.

    `symbol` is ``BASE/QUOTE``, for some markets followed by ``:SETTLE``. ``str()`` gives the id as
    it is sent and stored.
    """

    exchange: str
    market: str
    symbol: str
    timeframe: Timeframe

    @staticmethod
    def parse(text: str) -> SeriesId:
        """Parse a series id; raise SeriesIdError when it is incomplete or invalid."""
        return _parse(text)

    def candle_id(self, candle_time: int) -> str:
        """The id of this series' candle that opens at `candle_time` (Unix seconds)."""
        return f"{self}:{candle_time}"

    def with_timeframe(self, timeframe: Timeframe) -> SeriesId:
        """The same symbol on another timeframe."""
        return SeriesId(self.exchange, self.market, self.symbol, timeframe)

    def __str__(self) -> str:
        return f"{self.exchange}:{self.market}:{self.symbol}:{self.timeframe.text}"


@lru_cache(maxsize=4096)
def _parse(text: str) -> SeriesId:
    if len(text) > MAX_LENGTH:
        raise SeriesIdError("invalid series_id (longer than %(most)d characters)", most=MAX_LENGTH)
    pieces = text.split(":")
    if len(pieces) < 4:
        raise SeriesIdError("series_id must be '{exchange}:{market}:{symbol}:{timeframe}'")
    exchange, market, *symbol, timeframe = pieces
    parts = [part.strip() for part in (exchange, market, ":".join(symbol), timeframe)]
    if not all(parts):
        raise SeriesIdError("invalid series_id (empty component)")
    if any(_CONTROL.search(part) for part in parts):
        raise SeriesIdError("invalid series_id (control character)")
    try:
        return SeriesId(parts[0], parts[1], parts[2], Timeframe.parse(parts[3]))
    except TimeframeError as error:
        raise SeriesIdError(error.template, **error.values) from error
