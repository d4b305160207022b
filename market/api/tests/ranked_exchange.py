"""An exchange with a few symbols behind the rankings of top markets."""

from __future__ import annotations

from market.exchanges.top_markets import ExchangeLoop, TopMarketsSource


def listing(base, quote="USDT", **more):
    return {
        "id": base + quote,
        "base": base,
        "quote": quote,
        "active": True,
        "spot": True,
        "swap": False,
        "precision": {"price": 0.25},
    } | more


class Exchange:
    """ccxt's face of an exchange with four symbols."""

    precisionMode = 4  # noqa: N815 - ccxt's name; a tick

    def __init__(self):
        self.listings = {
            "BTC/USDT": listing("BTC"),
            "ETH/USDT": listing("ETH"),
            "ETH/BTC": listing("ETH", "BTC"),
            "OLD/USDT": listing("OLD", active=False),
            "BTC/USDT:USDT": listing("BTC", spot=False, swap=True, linear=True),
            "ETH/USDT:USDT-261225": listing("ETH", spot=False, future=True),
        }
        self.tickers = {
            "BTC/USDT": {"last": 42_000.5, "quoteVolume": 10.0, "percentage": 1.23},
            "ETH/USDT": {"last": None, "quoteVolume": 20.0, "percentage": float("nan")},
            "ETH/BTC": {"last": 0.05, "quoteVolume": 99.0, "percentage": 0.0},
            "OLD/USDT": {"last": 1.0, "quoteVolume": 99.0, "percentage": 0.0},
            "NEW/USDT": {"last": 1.0, "quoteVolume": 99.0, "percentage": 0.0},
            "BTC/USDT:USDT": {"last": 42_001.0, "quoteVolume": 5.0, "percentage": -1.0},
            "ETH/USDT:USDT-261225": {"last": 1.0, "quoteVolume": 5.0, "percentage": 1.0},
        }
        self.calls = []
        self.failure = None
        self.closed = False

    async def load_markets(self, reload):
        return self.answer("listings", self.listings)

    async def fetch_tickers(self):
        return self.answer("tickers", self.tickers)

    def answer(self, name, value):
        self.calls.append(name)
        if self.failure is not None:
            raise self.failure
        return value

    async def close(self):
        self.closed = True


class World:
    """An exchange behind the endpoint, and the clock of its caches."""

    def __init__(self):
        self.time = 0.0
        self.exchange = Exchange()
        self.opened = []
        self.source = TopMarketsSource(
            self.open, listing_ttl_s=3600, ticker_ttl_s=10, clock=lambda: self.time
        )
        self.loop = ExchangeLoop(self.source)

    def open(self, exchange, market):
        self.opened.append((exchange, market))
        return self.exchange
