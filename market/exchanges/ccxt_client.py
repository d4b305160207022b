"""ccxt exchange objects as this project uses them: names, errors, and the shared rate limit."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Collection, Iterator, Mapping
from functools import lru_cache
from typing import Any, Protocol

import aiohttp
import ccxt
import ccxt.async_support
import ccxt.pro
from django.conf import settings

from market.domain.feed import (
    FeedError,
    FeedRefused,
    RateLimited,
    UnknownExchange,
    UnknownMarket,
    UnknownSymbol,
    UnknownTimeframe,
)
from market.domain.series import FUTURES, SeriesId
from market.exchanges.answer_limit import LimitedResponse
from market.exchanges.asked_pause import PAUSE_S, asked_pause, pause_of
from market.exchanges.asked_window import TRACE
from market.exchanges.local_address import point_at
from market.exchanges.rate_limit import RateLimit, rate_limit_of, take_turn

LOCAL = "sim"
SPOT = "spot"
MARKETS = (SPOT, FUTURES)

_REFUSALS = (
    ccxt.BadSymbol,
    ccxt.NotSupported,
    ccxt.ArgumentsRequired,
    ccxt.AuthenticationError,
)
# ccxt raises one of the last six for an unexpected body.
_FAILURES = (
    ccxt.BaseError,
    aiohttp.ClientError,
    OSError,
    asyncio.TimeoutError,
    ValueError,
    KeyError,
    TypeError,
    IndexError,
    AttributeError,
    ArithmeticError,
)


_LIMITED = (ccxt.RateLimitExceeded, ccxt.DDoSProtection)


class Paused(ccxt.DDoSProtection):  # type: ignore[misc]  # ccxt has no types
    """The exchange refuses requests for `seconds`; an error of ccxt, whose sockets expect those."""

    def __init__(self, message: str, seconds: float) -> None:
        super().__init__(message)
        self.seconds = seconds


class NotSubscribed(ccxt.ExchangeError):  # type: ignore[misc]  # ccxt has no types
    """The exchange refused to subscribe; the sink has been given the reason."""


class KlineSink(Protocol):
    """Receives the klines of Binance's sockets."""

    def kline(self, kline: Mapping[str, Any]) -> None:
        """Take a raw kline, with its final flag."""
        ...

    def lost(self, client: Any, reason: str) -> None:
        """Take note that a socket is closed."""
        ...

    def refused(self, client: Any, pairs: Collection[tuple[str, str]], reason: str) -> None:
        """Take note that a socket does not subscribe these pairs of symbol and timeframe."""
        ...


class SharedLimit:  # mixed into a ccxt class, which is behind super()
    """Waits for the shared rate limit, and shares the pauses after 429 and 418."""

    # No underscores in these names: ccxt makes more attributes of names with them.
    limiter: RateLimit
    session: aiohttp.ClientSession
    pausing: set[asyncio.Future[None]]
    id: str
    rateLimit: float  # noqa: N815 - ccxt's name: milliseconds a request of cost 1 uses up

    def open(self, *given: Any, **named: Any) -> None:
        """Open the session, whose answers have a limit."""
        super().open(*given, **named)  # type: ignore[misc]
        # ccxt makes the session itself, so aiohttp's parameter for this is out of reach.
        self.session._response_class = LimitedResponse

    async def throttle(self, cost: float | None = None) -> None:
        """Wait for our turn; raises RateLimited when the wait would be long."""
        await take_turn(self.limiter, self.rateLimit * (1.0 if cost is None else cost))

    def handle_errors(self, code: int, reason: str, url: str, method: str, *rest: Any) -> Any:
        """Refuse by the status before ccxt reads the body; raises Paused."""
        if (trace := TRACE.get()) is not None:
            trace.status, trace.is_json = code, rest[2] is not None or not rest[1]
        headers, body = rest[0], rest[1]
        seconds = pause_of(self.id, code, headers, body)
        if seconds is not None:
            raise Paused(f"{self.id} {method} {url} {code} {reason}: {body}"[:200], seconds)
        try:
            return super().handle_errors(code, reason, url, method, *rest)  # type: ignore[misc]
        except _LIMITED as error:
            # Some exchanges answer 200 with the refusal in the body.
            asked = asked_pause(self.id, code, headers, body)
            raise Paused(str(error)[:200], asked or PAUSE_S) from error

    async def fetch(self, *request: Any, **named: Any) -> Any:
        """Send one request; a refusal for exceeding the rate pauses all workers."""
        if (trace := TRACE.get()) is not None:
            trace.url, trace.body = request[0], request[3] if len(request) > 3 else None
        try:
            return await super().fetch(*request, **named)  # type: ignore[misc]
        except _LIMITED as error:
            seconds = error.seconds if isinstance(error, Paused) else PAUSE_S
            await self.limiter.pause(seconds)
            raise RateLimited(str(error)[:200], seconds) from error

    def on_error(self, client: Any, error: Any) -> None:
        """Handle a socket that broke; one refused for its rate at the handshake pauses us, too."""
        super().on_error(client, error)  # type: ignore[misc]
        cause = error.args[0] if getattr(error, "args", ()) else None
        if isinstance(cause, aiohttp.WSServerHandshakeError):
            seconds = pause_of(self.id, cause.status, cause.headers, "")
            if seconds is not None:
                pausing = asyncio.ensure_future(self.limiter.pause(seconds))
                # The loop itself keeps no strong reference to a task.
                self.pausing.add(pausing)
                pausing.add_done_callback(self.pausing.discard)

    def insert_missing_candles(self, candles: Any, *given: Any) -> Any:
        """Return what was sent: ccxt's class of BitoPro invents candles for quiet times."""
        return candles

    def parse_ohlcvs(self, ohlcvs: Any, market: Any = None, *given: Any, **named: Any) -> Any:
        """Read every row that was sent: ccxt drops those before `since` or beyond `limit`.

        They show what the exchange has around a hole; a row that is unreadable stops no other.
        """
        if TRACE.get() is None or not isinstance(ohlcvs, list):
            return super().parse_ohlcvs(ohlcvs, market, *given, **named)  # type: ignore[misc]
        rows = []
        for row in ohlcvs:
            try:
                rows.append(self.parse_ohlcv(row, market))  # type: ignore[attr-defined]
            except _FAILURES:
                rows.append(row)
        return rows

    async def close(self, *given: Any) -> None:
        """Close sockets, sessions and the connection of the rate limit."""
        await super().close(*given)  # type: ignore[misc]
        await self.limiter.close()


# How ccxt names subscriptions to candles: ohlcv::BTC/USDT::1m.
_OHLCV = "ohlcv::"


class FinalFlag:  # mixed into ccxt.pro's Binance classes
    """Exposes what ccxt hides: whether a kline is final, and that a socket closed."""

    sink: KlineSink | None = None
    # The socket of the next subscription; it becomes the end of the socket's address.
    shard = "0"

    def stream(self, *given: Any) -> str:
        """Return the socket for a subscription."""
        return self.shard

    def handle_ohlcv(self, client: Any, message: Any) -> None:
        """Let ccxt handle the message, then pass the raw kline on."""
        super().handle_ohlcv(client, message)  # type: ignore[misc]
        if self.sink is not None:
            self.sink.kline(message["k"])

    def handle_ws_error(self, client: Any, message: Any) -> None:
        """Pass on that a request to subscribe was refused; ccxt leaves some of these unnoticed."""
        number = str(message.get("id"))
        refused = [
            name
            for name, request in client.subscriptions.items()
            if name.startswith(_OHLCV)
            and isinstance(request, dict)
            and str(request.get("id")) == number
        ]
        if self.sink is None or not refused:
            super().handle_ws_error(client, message)  # type: ignore[misc]
            return
        reason = str((message.get("error") or {}).get("msg") or message)
        pairs = [tuple(name.removeprefix(_OHLCV).rsplit("::", 1)) for name in refused]
        self.sink.refused(client, pairs, reason)
        for name in refused:
            client.subscriptions.pop(name, None)
            if name in client.futures:
                client.reject(NotSubscribed(reason), name)

    def on_error(self, client: Any, error: Any) -> None:
        """Handle a socket that broke or could not be opened."""
        super().on_error(client, error)  # type: ignore[misc]
        self._lost(client, f"{type(error).__name__}: {error}")

    def on_close(self, client: Any, error: Any) -> None:
        """Handle a socket that the exchange closed."""
        super().on_close(client, error)  # type: ignore[misc]
        self._lost(client, f"closed with {error}")

    def _lost(self, client: Any, reason: str) -> None:
        if self.sink is not None:
            self.sink.lost(client, reason[:200])


@lru_cache(maxsize=1)
def known_exchanges() -> frozenset[str]:
    """Every exchange id a series may name: all of ccxt's, and the local one."""
    return frozenset(ccxt.async_support.exchanges) | {LOCAL}


def is_binance(exchange: str) -> bool:
    """Whether an exchange speaks Binance's stream protocol (its class in ccxt derives from it)."""
    found = getattr(ccxt.pro, _ccxt_name(exchange), None)
    return isinstance(found, type) and issubclass(found, ccxt.pro.binance)


def _ccxt_name(exchange: str) -> str:
    return "binance" if exchange == LOCAL else exchange


@lru_cache(maxsize=128)
def _exchange_class(exchange: str) -> Any:
    """ccxt's streaming class, or its REST class if there is none, with our additions."""
    name = _ccxt_name(exchange)
    found = getattr(ccxt.pro, name, None) or getattr(ccxt.async_support, name)
    additions = (FinalFlag, SharedLimit) if is_binance(exchange) else (SharedLimit,)
    return type(name, (*additions, found), {})


def check_known(exchange: str, market: str) -> None:
    """Raise FeedRefused when an exchange or its market (spot, futures) is not known."""
    if exchange not in known_exchanges():
        raise UnknownExchange("unknown exchange: %(exchange)s", exchange=exchange)
    if market not in MARKETS:
        raise UnknownMarket("unknown market: %(market)s (spot or futures)", market=market)


def open_exchange(exchange: str, market: str) -> Any:
    """A new ccxt object for one market (spot, futures) of an exchange; close() it after use.

    Raises FeedRefused when either is not known.
    """
    check_known(exchange, market)
    opened = _exchange_class(exchange)(
        {
            "enableRateLimit": True,
            "timeout": settings.SWITCHES.ccxt_timeout_ms,
            # We copy what arrives, so ccxt's own cache of candles can be short.
            "options": {"defaultType": "swap" if market == FUTURES else "spot", "OHLCVLimit": 4},
        }
    )
    opened.limiter = rate_limit_of(exchange)
    opened.pausing = set()
    opened.venue = f"{exchange}:{market}"
    if exchange == LOCAL:
        point_at(opened, settings.SWITCHES.sim_url)
    if _ccxt_name(exchange) == "binance":
        # The other lists are long, and an outage of one would fail all.
        opened.options["fetchMarkets"] = {"types": ["linear" if market == FUTURES else "spot"]}
    return opened


# What load_markets() sets.
_LOADED = (
    "markets",
    "markets_by_id",
    "symbols",
    "ids",
    "currencies",
    "currencies_by_id",
    "baseCurrencies",
    "quoteCurrencies",
    "codes",
)


def open_sibling(exchange: Any) -> Any:
    """Another ccxt object for the same venue, with sockets of its own and the same markets."""
    opened = open_exchange(*exchange.venue.split(":"))
    for name in _LOADED:
        setattr(opened, name, getattr(exchange, name))
    return opened


@contextlib.contextmanager
def feed_errors(what: str) -> Iterator[None]:
    """Convert exceptions of ccxt to FeedError, FeedRefused or RateLimited."""
    try:
        yield
    except FeedError:
        raise
    except _REFUSALS as error:
        raise FeedRefused(f"{what}: {error}"[:300]) from error
    except _LIMITED as error:
        seconds = error.seconds if isinstance(error, Paused) else PAUSE_S
        raise RateLimited(f"{what}: {error}"[:300], seconds) from error
    except _FAILURES as error:
        raise FeedError(f"{what}: {type(error).__name__}: {error}"[:300]) from error


def symbol_of(series: SeriesId) -> str:
    """ccxt's symbol: in futures the settle currency is appended when missing."""
    if series.market != FUTURES or ":" in series.symbol:
        return series.symbol
    return f"{series.symbol}:{series.symbol.rpartition('/')[2]}"


def listing_of(exchange: Any, series: SeriesId) -> dict[str, Any]:
    """ccxt's market entry of a series, after load_markets(); raises FeedRefused without one."""
    found = (exchange.markets or {}).get(symbol_of(series))
    wanted = "swap" if series.market == FUTURES else "spot"
    if found is None or not found.get(wanted):
        raise no_symbol(series)
    return dict(found)


def no_symbol(series: SeriesId) -> UnknownSymbol:
    """The refusal of a series whose symbol the exchange does not list."""
    return UnknownSymbol(
        "%(exchange)s has no %(market)s market %(symbol)s",
        exchange=series.exchange,
        market=series.market,
        symbol=series.symbol,
    )


def no_timeframe(series: SeriesId) -> UnknownTimeframe:
    """The refusal of a series whose timeframe the exchange does not have, or that is only derived.

    An exchange may have months; where they open is not to be learned from a few of them.
    """
    if series.timeframe.calendar is not None:
        return UnknownTimeframe(
            "candles of %(timeframe)s are only made of shorter ones:"
            " name it in TRADE_CANVAS_DERIVED_TIMEFRAMES",
            timeframe=series.timeframe,
        )
    return UnknownTimeframe(
        "%(exchange)s has no timeframe %(timeframe)s",
        exchange=series.exchange,
        timeframe=series.timeframe,
    )
