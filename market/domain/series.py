"""Series ids: the coordinate ``exchange:market:symbol:timeframe`` and its only parser."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import lru_cache

from market.domain.explained import Explained, translatable
from market.domain.timeframe import Timeframe, TimeframeError

MAX_LENGTH = 200

# The market whose symbols are settled in their quote unless they name another asset.
FUTURES = "futures"

# Control characters are never part of a symbol, and PostgreSQL can't store NUL.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


class SeriesIdError(Explained, ValueError):
    """An invalid series id. The message is part of the wire contract."""


class SeriesAlias(SeriesIdError):
    """Another name of a series; `canonical` is the one under which it is followed and stored."""

    code = "series_alias"

    def __init__(self, series: SeriesId) -> None:
        self.canonical = series.canonical()
        super().__init__(
            translatable("%(series)s is another name of %(canonical)s: use that"),
            series=series,
            canonical=self.canonical,
        )


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
    # Made once: a candle on its way is looked up by its series some twenty times.
    _text: str = field(init=False, repr=False, compare=False)
    _hash: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        text = f"{self.exchange}:{self.market}:{self.symbol}:{self.timeframe.text}"
        object.__setattr__(self, "_text", text)
        parts = (self.exchange, self.market, self.symbol, self.timeframe)
        object.__setattr__(self, "_hash", hash(parts))

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

    def canonical(self) -> SeriesId:
        """The one id of this stream of candles: ``BTC/USDT:USDT`` on futures is ``BTC/USDT``."""
        return _canonical(self)

    @property
    def is_canonical(self) -> bool:
        """Whether it is written as it is followed and stored."""
        return _canonical(self) == self

    def require_canonical(self) -> None:
        """Raise SeriesAlias for another name of a series."""
        if not self.is_canonical:
            raise SeriesAlias(self)

    def __hash__(self) -> int:
        return self._hash

    def __reduce__(self) -> tuple[type[SeriesId], tuple[str, str, str, Timeframe]]:
        # Another process hashes texts in its own way.
        return SeriesId, (self.exchange, self.market, self.symbol, self.timeframe)

    def __str__(self) -> str:
        return self._text


@lru_cache(maxsize=4096)
def _canonical(series: SeriesId) -> SeriesId:
    pair, colon, settle = series.symbol.partition(":")
    is_usual = colon and series.market == FUTURES and settle == pair.rpartition("/")[2]
    symbol = pair if is_usual and "/" in pair else series.symbol
    return SeriesId(series.exchange, series.market, symbol, series.timeframe.canonical())


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
