"""Binance's JSON: klines, kline events, 24 hour tickers, exchange information."""

from __future__ import annotations

from collections.abc import Iterable

from market.local_exchange.book import Series
from market.local_exchange.candles import (
    DAY_MS,
    FUTURES,
    SPOT,
    Listing,
    TickCandle,
    decimal_text,
)
from market.local_exchange.habits import Figures, spoiled

# Binance's mark of a contract that never expires.
_NEVER_MS = 4_133_404_800_000

_HALTED = {SPOT: "HALT", FUTURES: "SETTLING"}

JsonObject = dict[str, object]


def _quote_volume(candle: TickCandle, listing: Listing) -> int:
    """Traded value in units of 10**-(price + volume decimals), at a typical price."""
    return candle.volume * (candle.high + candle.low + 2 * candle.close) // 4


def _trades(candle: TickCandle) -> int:
    """A plausible number of trades."""
    return candle.volume.bit_length() ** 2 if candle.volume else 0


def _figures(candle: TickCandle, listing: Listing) -> tuple[str, str, str, str]:
    """Volume, traded value, and the takers' half of both, as strings."""
    value = _quote_volume(candle, listing)
    decimals = listing.price_decimals + listing.volume_decimals
    return (
        listing.volume_text(candle.volume),
        decimal_text(value, decimals),
        listing.volume_text(candle.volume // 2),
        decimal_text(value // 2, decimals),
    )


def _shown(open_ms: int, candle: TickCandle, series: Series, volume: str, *, on: str) -> Figures:
    """What REST (`rest`) or the streams (`streams`) show of a candle, which a habit may spoil."""
    opened, high, low, closed = map(series.listing.price_text, candle[:4])
    figures = Figures(open_ms, opened, high, low, closed, volume)
    if not series.habits.faults:
        return figures
    fault = series.habits.bad_row(open_ms, series.interval_ms, on=on)
    return figures if fault is None else spoiled(figures, fault)


def kline_row(open_ms: int, candle: TickCandle, series: Series) -> list[object]:
    """One row of the klines endpoint."""
    listing = series.listing
    volume, value, taker_volume, taker_value = _figures(candle, listing)
    return [
        *_shown(open_ms, candle, series, volume, on="rest"),
        open_ms + series.interval_ms - 1,
        value,
        _trades(candle),
        taker_volume,
        taker_value,
        "0",
    ]


def kline_event(
    open_ms: int, candle: TickCandle, series: Series, *, closed: bool, event_ms: int
) -> JsonObject:
    """One message of a kline stream; `closed` marks the final one of a candle."""
    listing = series.listing
    volume, value, taker_volume, taker_value = _figures(candle, listing)
    shown = _shown(open_ms, candle, series, volume, on="streams")
    trades = _trades(candle)
    return {
        "e": "kline",
        "E": event_ms,
        "s": listing.symbol,
        "k": {
            "t": shown.opened,
            "T": open_ms + series.interval_ms - 1,
            "s": listing.symbol,
            "i": series.key.interval,
            "f": open_ms if trades else -1,
            "L": open_ms + trades - 1 if trades else -1,
            "o": shown.open,
            "c": shown.close,
            "h": shown.high,
            "l": shown.low,
            "v": shown.volume,
            "n": trades,
            "x": closed,
            "q": value,
            "V": taker_volume,
            "Q": taker_value,
            "B": "0",
        },
    }


def _signed_price(ticks: int, listing: Listing) -> str:
    return ("-" if ticks < 0 else "") + listing.price_text(abs(ticks))


def day_ticker(start_ms: int, candle: TickCandle, listing: Listing, *, now_ms: int) -> JsonObject:
    """The 24 hour ticker; for spot with bid, ask and previous close."""
    change = candle.close - candle.open
    value = _quote_volume(candle, listing)
    average = value // candle.volume if candle.volume else candle.close
    ticker: JsonObject = {
        "symbol": listing.symbol,
        "priceChange": _signed_price(change, listing),
        "priceChangePercent": f"{100 * change / candle.open:.3f}",
        "weightedAvgPrice": listing.price_text(average),
        "lastPrice": listing.price_text(candle.close),
        "lastQty": listing.volume_text(1),
        "openPrice": listing.price_text(candle.open),
        "highPrice": listing.price_text(candle.high),
        "lowPrice": listing.price_text(candle.low),
        "volume": listing.volume_text(candle.volume),
        "quoteVolume": decimal_text(value, listing.price_decimals + listing.volume_decimals),
        "openTime": max(start_ms, now_ms - DAY_MS),
        "closeTime": now_ms,
        "firstId": start_ms,
        "lastId": start_ms + _trades(candle),
        "count": _trades(candle),
    }
    if listing.market == FUTURES:
        return ticker
    return ticker | {
        "prevClosePrice": listing.price_text(candle.open),
        "bidPrice": listing.price_text(max(candle.close - 1, 0)),
        "bidQty": listing.volume_text(1),
        "askPrice": listing.price_text(candle.close + 1),
        "askQty": listing.volume_text(1),
    }


def _filters(listing: Listing) -> list[JsonObject]:
    tick, step = listing.price_text(1), listing.volume_text(1)
    highest = listing.price_text(10 ** (listing.price_decimals + 7))
    lot = {"minQty": step, "maxQty": "9000000", "stepSize": step}
    return [
        {"filterType": "PRICE_FILTER", "minPrice": tick, "maxPrice": highest, "tickSize": tick},
        {"filterType": "LOT_SIZE", **lot},
        {"filterType": "MARKET_LOT_SIZE", **lot},
        {"filterType": "MIN_NOTIONAL", "minNotional": "5", "notional": "5"},
    ]


def _spot_symbol(listing: Listing) -> JsonObject:
    return {
        "isSpotTradingAllowed": True,
        "isMarginTradingAllowed": False,
        "baseAssetPrecision": 8,
        "quoteAssetPrecision": 8,
        "permissions": [],
        "permissionSets": [["SPOT"]],
    }


def _contract(listing: Listing) -> JsonObject:
    return {
        "pair": listing.symbol,
        "contractType": "PERPETUAL",
        "deliveryDate": _NEVER_MS,
        "onboardDate": listing.listed_ms,
        "marginAsset": listing.quote,
        "pricePrecision": listing.price_decimals,
        "quantityPrecision": listing.volume_decimals,
        "baseAssetPrecision": 8,
        "underlyingType": "COIN",
        "timeInForce": ["GTC", "IOC", "FOK", "GTX"],
    }


def exchange_info(listings: Iterable[Listing], *, now_ms: int, weight_limit: int) -> JsonObject:
    """The listings of one market, with the precision of prices and volumes."""
    return {
        "timezone": "UTC",
        "serverTime": now_ms,
        "rateLimits": [
            {
                "rateLimitType": "REQUEST_WEIGHT",
                "interval": "MINUTE",
                "intervalNum": 1,
                "limit": weight_limit,
            }
        ],
        "exchangeFilters": [],
        "symbols": [
            {
                "symbol": listing.symbol,
                "status": "TRADING" if listing.is_trading else _HALTED[listing.market],
                "baseAsset": listing.base,
                "quoteAsset": listing.quote,
                "quotePrecision": 8,
                "orderTypes": ["LIMIT", "MARKET"],
                "filters": _filters(listing),
                **(_contract(listing) if listing.market == FUTURES else _spot_symbol(listing)),
            }
            for listing in listings
        ],
    }
