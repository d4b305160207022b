"""The public REST endpoints of one market: ping, time, exchangeInfo, klines, 24 hour tickers.

Requests have weights as Binance's have; an address that exceeds its limit gets 429, then 418.
"""

from __future__ import annotations

import asyncio
import re
import time
import zlib
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass

import orjson
from aiohttp import web

from market.local_exchange import wire
from market.local_exchange.book import Book, Series
from market.local_exchange.candles import FUTURES, SPOT, Listing
from market.local_exchange.faults import Kind
from market.local_exchange.habits import MAINTENANCE, Range

PREFIXES = {SPOT: "/api/v3", FUTURES: "/fapi/v1"}

_REFUSALS = {
    418: (-1003, "Way too much request weight used; IP banned. Please use WebSocket Streams."),
    429: (-1003, "Too much request weight used. Please use WebSocket Streams for live updates."),
}
_UNUSABLE: Mapping[str, object] = {"empty": [], "null": None, "maintenance": MAINTENANCE.encode()}
_DEFAULT_LIMIT = 500
_MOST_CANDLES = {SPOT: 1_000, FUTURES: 1_500}
_WHOLE_NUMBER = re.compile(r"[0-9]{1,20}", re.ASCII)
# Far enough for any candle and small enough for every sum.
_LATEST_MS = 10**15


_WINDOW_S = 60.0
# Refusals in one window before an address is banned, and the ban in seconds.
_PATIENCE = 10
_BAN_S = 120.0
_ADDRESSES_KEPT = 4_096

DEFAULT_LIMITS = {SPOT: 6_000, FUTURES: 2_400}


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a request is refused: 429 or 418, and when to retry (seconds)."""

    status: int
    retry_after_s: int


@dataclass(slots=True)
class _Account:
    window: int
    used: int = 0
    refused: int = 0
    banned_until: float = 0.0


class WeightLedger:
    """Counts the weight that each address uses a minute in one market."""

    def __init__(self, limit: int, clock: Callable[[], float] = time.time) -> None:
        self.limit = limit
        self._clock = clock
        self._accounts: OrderedDict[str, _Account] = OrderedDict()

    def used(self, address: str) -> int:
        """The weight an address has used in this minute."""
        return self._account(address).used

    def charge(self, address: str, weight: int) -> Refusal | None:
        """Count a request of an address; return a refusal when it exceeds the limit."""
        account = self._account(address)
        now = self._clock()
        if account.banned_until > now:
            return Refusal(418, int(account.banned_until - now) + 1)
        if account.used + weight <= self.limit:
            account.used += weight
            return None
        account.refused += 1
        if account.refused > _PATIENCE:
            account.banned_until = now + _BAN_S
            return Refusal(418, int(_BAN_S))
        return Refusal(429, int(_WINDOW_S - now % _WINDOW_S) + 1)

    def _account(self, address: str) -> _Account:
        window = int(self._clock() // _WINDOW_S)
        account = self._accounts.setdefault(address, _Account(window))
        self._accounts.move_to_end(address)
        if len(self._accounts) > _ADDRESSES_KEPT:
            self._accounts.popitem(last=False)
        if account.window != window:
            account.window, account.used, account.refused = window, 0, 0
        return account


def klines_weight(market: str, limit: int) -> int:
    """The weight of a page of klines."""
    if market == SPOT:
        return 2
    return next((cost for most, cost in ((99, 1), (499, 2), (1_000, 5)) if limit <= most), 10)


def tickers_weight(market: str, symbols: int | None) -> int:
    """The weight of the tickers of so many symbols; None stands for all."""
    if market == FUTURES:
        return 40 if symbols is None else 1
    if symbols is None or symbols > 100:
        return 80
    return 2 if symbols <= 20 else 40


def exchange_info_weight(market: str) -> int:
    """The weight of the exchange information."""
    return 20 if market == SPOT else 1


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to a request: its JSON value, or a page of HTML as bytes, and its weight."""

    body: object
    weight: int


class BadRequest(Exception):
    """A request that Binance would refuse, with its error code and text."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class RestApi:
    """The endpoints of one market; `counts` has the number of answers by status."""

    def __init__(self, market: str, book: Book, ledger: WeightLedger) -> None:
        self.market = market
        self.ledger = ledger
        self.counts: dict[int, int] = {}
        self._book = book

    def routes(self) -> list[web.RouteDef]:
        """The market's routes."""
        prefix = PREFIXES[self.market]
        endpoints: Mapping[str, Callable[[Mapping[str, str]], Answer]] = {
            "ping": self._ping,
            "time": self._time,
            "exchangeInfo": self._exchange_info,
            "klines": self._klines,
            "ticker/24hr": self._tickers,
        }
        return [
            web.get(f"{prefix}/{name}", self._handler(endpoint))
            for name, endpoint in endpoints.items()
        ]

    def _handler(
        self, endpoint: Callable[[Mapping[str, str]], Answer]
    ) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def handle(request: web.Request) -> web.Response:
            response = await self._answer(request, endpoint)
            self.counts[response.status] = self.counts.get(response.status, 0) + 1
            response.headers["X-MBX-USED-WEIGHT-1M"] = str(self.ledger.used(request.remote or ""))
            return response

        return handle

    async def _answer(
        self, request: web.Request, endpoint: Callable[[Mapping[str, str]], Answer]
    ) -> web.Response:
        symbol, interval = request.query.get("symbol"), request.query.get("interval")
        delay_s = self._book.faults.delay_s("rest", self.market, symbol, interval)
        if delay_s:
            await asyncio.sleep(delay_s)
        fault = self._book.faults.use(Kind.REST_STATUS, self.market, symbol, interval)
        if fault is not None:
            asked = fault.request
            response = _refused(asked.status, asked.retry_after_s, body=asked.body)
            response.headers.update(asked.headers)
            return response
        fault = self._book.faults.use(Kind.FLOOD, self.market, symbol, interval)
        if fault is not None:
            return _flood(fault.request.megabytes, gzip=fault.request.gzip)
        try:
            answer = endpoint(request.query)
        except BadRequest as error:
            return self._charged(request, 1, {"code": error.code, "msg": error.message}, 400)
        return self._charged(request, answer.weight, answer.body, 200)

    def _charged(
        self, request: web.Request, weight: int, body: object, status: int
    ) -> web.Response:
        refusal = self.ledger.charge(request.remote or "", weight)
        if refusal is not None:
            return _refused(refusal.status, refusal.retry_after_s)
        return _json(body, status)

    def _ping(self, query: Mapping[str, str]) -> Answer:
        return Answer({}, 1)

    def _time(self, query: Mapping[str, str]) -> Answer:
        return Answer({"serverTime": self._book.clock.now_ms()}, 1)

    def _exchange_info(self, query: Mapping[str, str]) -> Answer:
        info = wire.exchange_info(
            self._wanted(query),
            now_ms=self._book.clock.now_ms(),
            weight_limit=self.ledger.limit,
        )
        return Answer(info, exchange_info_weight(self.market))

    def _klines(self, query: Mapping[str, str]) -> Answer:
        series = self._series(query)
        limit = self._limit(query)
        weight = klines_weight(self.market, limit)
        first_ms, last_ms = _moment(query, "startTime"), _moment(query, "endTime")
        _refuse_old(series, self._book, first_ms)
        asked = self._book.asked(series, first_ms=first_ms, last_ms=last_ms, limit=limit)
        unusable = series.habits.unusable(asked)
        if unusable is not None:
            self._book.unanswered.add(series.key, asked)
            return Answer(_UNUSABLE[unusable.request.answer], weight)
        short = series.habits.first(Kind.SHORT_PAGES)
        if short is not None and short.request.keep == "oldest":
            limit = min(limit, short.request.most)
        page = self._book.page(series, first_ms=first_ms, last_ms=last_ms, limit=limit)
        if short is not None and short.request.keep == "newest":
            page = page[-short.request.most :]
        if page:
            self._book.unanswered.remove(series.key, Range(page[0][0], page[-1][0]))
        return Answer([wire.kline_row(*each, series) for each in page], weight)

    def _tickers(self, query: Mapping[str, str]) -> Answer:
        wanted = self._wanted(query)
        now_ms = self._book.clock.now_ms()
        days = [(listing, self._book.day(listing)) for listing in wanted]
        tickers = [
            wire.day_ticker(*day, listing, now_ms=now_ms)
            for listing, day in days
            if day is not None
        ]
        chosen = len(wanted) if query.get("symbol") or query.get("symbols") else None
        body = tickers[0] if query.get("symbol") and tickers else tickers
        return Answer(body, tickers_weight(self.market, chosen))

    def _wanted(self, query: Mapping[str, str]) -> list[Listing]:
        """The listings named by `symbol` or `symbols` (a JSON list), or all of the market."""
        if "symbol" in query:
            return [self._listing(query["symbol"])]
        if "symbols" in query and self.market == SPOT:
            return [self._listing(symbol) for symbol in _symbol_list(query["symbols"])]
        return self._book.listings(self.market)

    def _listing(self, symbol: str) -> Listing:
        listing = self._book.listing(self.market, symbol)
        if listing is None:
            raise BadRequest(-1121, "Invalid symbol.")
        return listing

    def _series(self, query: Mapping[str, str]) -> Series:
        for name in ("symbol", "interval"):
            if not query.get(name):
                raise BadRequest(
                    -1102,
                    f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed.",
                )
        series = self._book.series(self._listing(query["symbol"]), query["interval"])
        if series is None:
            raise BadRequest(-1120, "Invalid interval.")
        return series

    def _limit(self, query: Mapping[str, str]) -> int:
        limit = _whole_number(query, "limit")
        most = _MOST_CANDLES[self.market]
        if limit is None:
            return _DEFAULT_LIMIT
        # Spot returns less than was asked for, futures refuse.
        if limit == 0 or (limit > most and self.market == FUTURES):
            raise BadRequest(-1130, "Data sent for parameter 'limit' is not valid.")
        return min(limit, most)


def _refuse_old(series: Series, book: Book, first_ms: int | None) -> None:
    """Refuse a page that begins before what the exchange's habit of refusing old ones allows."""
    fault = series.habits.first(Kind.REFUSE_OLD)
    if fault is None or first_ms is None:
        return
    if first_ms < book.oldest_served_ms(series):
        bars = fault.request.bars
        raise BadRequest(-1130, f"Candlestick too long ago. Maximum {bars} points ago are allowed.")


def _whole_number(query: Mapping[str, str], name: str) -> int | None:
    text = query.get(name)
    if text is None:
        return None
    if not _WHOLE_NUMBER.fullmatch(text):
        raise BadRequest(
            -1100,
            f"Illegal characters found in parameter '{name}'; legal range is '^[0-9]{{1,20}}$'.",
        )
    return int(text)


def _moment(query: Mapping[str, str], name: str) -> int | None:
    value = _whole_number(query, name)
    return None if value is None else min(value, _LATEST_MS)


def _symbol_list(text: str) -> list[str]:
    try:
        symbols = orjson.loads(text)
    except orjson.JSONDecodeError:
        symbols = None
    if not isinstance(symbols, list) or not all(isinstance(one, str) for one in symbols):
        raise BadRequest(-1100, "Illegal characters found in parameter 'symbols'.")
    return symbols


def _json(body: object, status: int) -> web.Response:
    if isinstance(body, bytes):
        return web.Response(body=body, status=status, content_type="text/html")
    return web.Response(body=orjson.dumps(body), status=status, content_type="application/json")


def _refused(status: int, retry_after_s: int | None, *, body: str | None = None) -> web.Response:
    if body is not None:
        response = web.Response(text=body, status=status)
    elif status >= 500:
        # What a gateway in front of the exchange answers: no JSON.
        response = web.Response(text=f"<html><h1>{status}</h1></html>", status=status)
    else:
        code, message = _REFUSALS.get(status, (-1000, "Refused."))
        response = _json({"code": code, "msg": message}, status)
    if retry_after_s is not None:
        response.headers["Retry-After"] = str(retry_after_s)
    return response


def _flood(megabytes: int, *, gzip: bool) -> web.Response:
    """An endless-looking list, sent as fast as it is read."""
    text = b"[" + b"[]," * (2**20 // 3)

    async def parts() -> AsyncIterator[bytes]:
        compressor = zlib.compressobj(wbits=16 + zlib.MAX_WBITS) if gzip else None
        for _ in range(megabytes):
            yield compressor.compress(text) if compressor else text
            await asyncio.sleep(0)
        if compressor:
            yield compressor.flush()

    headers = {"Content-Encoding": "gzip"} if gzip else {}
    return web.Response(body=parts(), content_type="application/json", headers=headers)
