"""Symbols for charts that speak UDF: ``exchange:market:symbol``, a series id without its timeframe.

Charts write what a user types in capitals, so names are found whatever their case.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

from django.conf import settings

from factors.udf.resolutions import STORABLE, Multipliers
from market import blocking
from market.domain.candle import Candle
from market.domain.series import SeriesId, SeriesIdError
from market.domain.timeframe import Timeframe, timeframes_named
from market.exchanges.price_step import UNKNOWN, PriceStep
from market.exchanges.symbol_search import Entry, SymbolQuery
from market.ingest.desired import whitelisted_series
from market.ingest.symbols import followable_symbols, is_searchable
from market.runtime import candle_store, derived_timeframes

# Prices of which the decimals are counted where the exchange's tick is not known.
PRICES = 50
MOST_DECIMALS = 12
MARKETS = ("futures", "spot")
MOST_FOUND = 100

_MINUTE = Timeframe.parse("1m")


class Symbol(NamedTuple):
    """A symbol of an exchange's market, as a series id spells it."""

    exchange: str
    market: str
    symbol: str

    @property
    def ticker(self) -> str:
        """What a chart asks for it by."""
        return f"{self.exchange}:{self.market}:{self.symbol}"

    def series(self, timeframe: Timeframe) -> SeriesId:
        """Its candles of one timeframe."""
        return SeriesId(self.exchange, self.market, self.symbol, timeframe)


def search(text: str, *, exchange: str | None, market: str | None, limit: int) -> list[Entry]:
    """The symbols that match, the best first. Makes no request to an exchange."""
    whitelist = blocking.call(whitelisted_series)
    if exchange is not None and not is_searchable(exchange, whitelist):
        return []
    symbols, _ = followable_symbols().of(exchange, whitelist)
    found = symbols.search(SymbolQuery(_lowered(text), exchange, market))
    return symbols.page(found, limit=min(limit, MOST_FOUND)).entries


def resolve(text: str) -> dict[str, Any] | None:
    """What a chart has to know of a symbol; None for an unknown one."""
    listed = next((each for each in _candidates(text) if _is_named(each, text)), None)
    spellings = [text, _lowered(text)] if listed is None else [_symbol_of(listed).ticker]
    named = [symbol for each in spellings if (symbol := _spelled(each))]
    if not named:
        return None
    symbol, stored = blocking.call(_first_stored, named)
    if not stored and listed is None:
        return None
    pinned = listed.timeframes if listed else ()
    timeframes = stored | _followed(timeframes_named(pinned).values())
    step = listed.step if listed else UNKNOWN
    prices = blocking.call(_prices, symbol, stored) if step.tick is None else []
    return described(symbol, timeframes or {_MINUTE}, step, prices)


def found(entry: Entry) -> dict[str, str]:
    """A symbol in the answer to a search."""
    symbol = _symbol_of(entry)
    return {
        "symbol": symbol.symbol,
        "full_name": symbol.ticker,
        "ticker": symbol.ticker,
        "description": _description(symbol),
        "exchange": symbol.exchange,
        "type": symbol.market,
    }


def described(
    symbol: Symbol, timeframes: Collection[Timeframe], step: PriceStep, prices: Iterable[float]
) -> dict[str, Any]:
    """The answer about a symbol with candles of these timeframes; `prices` are recent ones."""
    multipliers = Multipliers.of(timeframes)
    scale, move = price_scale(step, prices)
    return {
        "name": symbol.symbol,
        "full_name": symbol.ticker,
        "ticker": symbol.ticker,
        "description": _description(symbol),
        "type": symbol.market,
        "exchange": symbol.exchange,
        "listed_exchange": symbol.exchange,
        "session": "24x7",
        "timezone": "Etc/UTC",
        "format": "price",
        "pricescale": scale,
        "minmov": move,
        "volume_precision": 8,
        "has_seconds": bool(multipliers.seconds),
        "seconds_multipliers": [str(each) for each in multipliers.seconds],
        "has_intraday": bool(multipliers.minutes or multipliers.seconds),
        "intraday_multipliers": [str(each) for each in multipliers.minutes],
        "has_daily": bool(multipliers.days),
        "daily_multipliers": [str(each) for each in multipliers.days],
        # Where there are days, a chart makes weeks and months of them.
        "has_weekly_and_monthly": bool(
            (multipliers.weeks or multipliers.months) and not multipliers.days
        ),
        "weekly_multipliers": [str(each) for each in multipliers.weeks],
        "monthly_multipliers": [str(each) for each in multipliers.months],
        "supported_resolutions": multipliers.shown(),
        "visible_plots_set": "ohlcv",
        "data_status": "pulsed",
    }


def price_scale(step: PriceStep, prices: Iterable[float]) -> tuple[int, int]:
    """Parts of one unit, and how many of them a price moves by at least: 100 and 25 for 0.25."""
    if step.tick is not None:
        tick = Decimal(repr(step.tick)).normalize()
    elif step.digits is not None and (newest := max(prices, default=0.0)) > 0:
        tick = Decimal(1).scaleb(math.floor(math.log10(newest)) + 1 - step.digits)
    else:
        decimals = max((_decimals(each) for each in prices), default=2)
        tick = Decimal(1).scaleb(-min(max(decimals, 2), MOST_DECIMALS))
    scale = Decimal(10) ** max(0, -int(tick.normalize().as_tuple().exponent))
    return int(scale), max(1, int(tick * scale))


def _decimals(price: float) -> int:
    return max(0, -int(Decimal(repr(price)).normalize().as_tuple().exponent))


def _description(symbol: Symbol) -> str:
    return f"{symbol.symbol} {symbol.market}"


def _symbol_of(entry: Entry) -> Symbol:
    return Symbol(entry.exchange, entry.market, entry.symbol)


def _lowered(text: str) -> str:
    """Exchange and market of a ticker as they are written; other texts stay."""
    exchange, _, rest = text.strip().partition(":")
    market, colon, symbol = rest.partition(":")
    if not colon or market.lower() not in MARKETS:
        return text
    return f"{exchange.lower()}:{market.lower()}:{symbol}"


def _spelled(text: str) -> Symbol | None:
    """The symbol that a ticker spells; None for another text."""
    try:
        series = SeriesId.parse(f"{text}:{_MINUTE}").canonical()
    except SeriesIdError:
        return None
    return Symbol(series.exchange, series.market, series.symbol)


def _candidates(text: str) -> list[Entry]:
    spelled = _spelled(_lowered(text))
    if spelled is None:
        return search(text, exchange=None, market=None, limit=MOST_FOUND)
    market = spelled.market if spelled.market in MARKETS else None
    return search(spelled.symbol, exchange=spelled.exchange, market=market, limit=MOST_FOUND)


def _is_named(entry: Entry, text: str) -> bool:
    """Whether a text is the name or the ticker of an entry, in any case."""
    symbol, wanted = _symbol_of(entry), text.strip().upper()
    spelled = _spelled(_lowered(text))
    names = {symbol.symbol.upper(), symbol.ticker.upper()}
    return wanted in names or (spelled is not None and spelled.ticker.upper() in names)


def _first_stored(symbols: Sequence[Symbol]) -> tuple[Symbol, set[Timeframe]]:
    """The first that has candles, and their timeframes; the last without any. Blocking."""
    stored: set[Timeframe] = set()
    for symbol in symbols:
        states = candle_store().states(symbol.series(each) for each in STORABLE.values())
        stored = {each.timeframe for each, state in states.items() if state.head is not None}
        if stored:
            break
    return symbol, stored


def _prices(symbol: Symbol, stored: Collection[Timeframe]) -> list[float]:
    """Recent closes of the shortest timeframe. Blocking."""
    if not stored:
        return []
    candles: list[Candle] = candle_store().newest(symbol.series(min(stored)), PRICES)
    return [each.close for each in candles]


def _followed(pinned: Iterable[Timeframe]) -> set[Timeframe]:
    """The timeframes that will have candles: the whitelisted, and those derived of them."""
    followed = {each.canonical() for each in pinned}
    rule = derived_timeframes()
    if settings.SWITCHES.enable_derived_timeframes and rule.base in followed:
        followed |= set(rule.derived)
    return followed
