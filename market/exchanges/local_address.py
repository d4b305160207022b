"""Redirects a ccxt `binance` object to a local exchange."""

from __future__ import annotations

from typing import Any, Protocol
from urllib.parse import urlsplit


class CcxtExchange(Protocol):
    """The attributes of a ccxt exchange object that are changed."""

    urls: dict[str, Any]
    options: dict[str, Any]


def point_at(exchange: CcxtExchange, base_url: str) -> None:
    """Make a ccxt(.async_support, .pro) `binance` object use the local exchange only.

    `base_url` is like http://127.0.0.1:8765. Spot and linear perpetual markets are loaded;
    `options["defaultType"]` still selects the default. Every other address is replaced too, so
    that nothing is sent to the real exchange by mistake.
    """
    base = base_url.rstrip("/")
    exchange.urls["api"] = _rebased(exchange.urls["api"], base)
    streams = "ws" + base.removeprefix("http")
    if "ws" in exchange.urls["api"]:
        # ccxt takes a stream for spot if its address contains "/stream", and inserts "/market"
        # into a linear address that ends in "/ws".
        exchange.urls["api"]["ws"]["spot"] = f"{streams}/stream/ws"
        exchange.urls["api"]["ws"]["margin"] = f"{streams}/stream/ws"
        exchange.urls["api"]["ws"]["linear"] = f"{streams}/ws"
    exchange.options["fetchMarkets"] = {"types": ["spot", "linear"]}
    exchange.options["fetchCurrencies"] = False


def _rebased(addresses: dict[str, Any], base: str) -> dict[str, Any]:
    """The same addresses on another host; unsupported streams get an unused path."""
    return {
        name: _rebased(address, base) if isinstance(address, dict) else _moved(address, base)
        for name, address in addresses.items()
    }


def _moved(address: str, base: str) -> str:
    parts = urlsplit(address)
    if parts.scheme in ("ws", "wss"):
        return f"ws{base.removeprefix('http')}/not-here{parts.path}"
    return base + parts.path
