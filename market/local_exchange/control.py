"""The control endpoint: the state of the exchange, its faults, and the true candles."""

from __future__ import annotations

import logging

import orjson
from aiohttp import web

from market.local_exchange.book import Book, Series
from market.local_exchange.candles import SPOT, SeriesKey
from market.local_exchange.faults import Fault, FaultError, Kind, Request, parse_request
from market.local_exchange.rest import RestApi
from market.local_exchange.streams import StreamHub

logger = logging.getLogger(__name__)

_MOST_TRUTHS = 10_000
_LATEST_S = 10**11


class Control:
    """Everything below /control/."""

    def __init__(self, book: Book, hub: StreamHub, apis: list[RestApi]) -> None:
        self._book = book
        self._hub = hub
        self.apis = apis

    def routes(self) -> list[web.RouteDef]:
        """The control routes."""
        return [
            web.get("/control/state", self._state),
            web.get("/control/faults", self._list_faults),
            web.post("/control/faults", self._add_fault),
            web.delete("/control/faults", self._clear_faults),
            web.delete("/control/faults/{number:[0-9]{1,9}}", self._clear_faults),
            web.get("/control/truth", self._truth),
        ]

    def add(self, request: Request) -> Fault:
        """Set a fault, with its immediate effects."""
        fault = self._book.faults.add(request, now_ms=self._book.clock.now_ms())
        if request.kind is Kind.DROP_CONNECTIONS:
            self._hub.drop(fault)
            if request.duration_s is None:
                self._book.faults.clear(fault.number)
        if request.kind is Kind.REVISE and request.push:
            self._hub.revised(fault)
        self._set_clock()
        logger.info("fault set: %s", fault.as_object())
        return fault

    def clear(self, number: int | None = None) -> int:
        """Clear one fault, or all; return how many were cleared."""
        ended = self._book.faults.clear(number)
        self._set_clock()
        logger.info("faults cleared: %d", ended)
        return ended

    def _set_clock(self) -> None:
        """Set the clock's skew to the sum of the active ones."""
        self._book.clock.skew_ms = sum(
            fault.request.skew_ms
            for fault in self._book.faults.all()
            if fault.request.kind is Kind.CLOCK_SKEW
        )

    async def _state(self, request: web.Request) -> web.Response:
        clock = self._book.clock
        return _json(
            {
                "now_ms": clock.now_ms(),
                "speed": clock.speed,
                "listings": [f"{one.market}:{one.symbol}" for one in self._book.source.listings()],
                "connections": len(self._hub.connections),
                "subscribers": self._hub.subscribers(),
                "finals_sent": self._hub.finals_sent,
                "rest_answers": {
                    api.market: {str(status): count for status, count in api.counts.items()}
                    for api in self.apis
                },
                "faults": self._shown_faults(),
            }
        )

    async def _list_faults(self, request: web.Request) -> web.Response:
        return _json({"faults": self._shown_faults()})

    async def _add_fault(self, request: web.Request) -> web.Response:
        try:
            fault = self.add(parse_request(orjson.loads(await request.read())))
        except (FaultError, orjson.JSONDecodeError) as error:
            return _bad(str(error), "bad_fault")
        return _json(fault.as_object(), status=201)

    async def _clear_faults(self, request: web.Request) -> web.Response:
        number = request.match_info.get("number")
        return _json({"cleared": self.clear(None if number is None else int(number))})

    async def _truth(self, request: web.Request) -> web.Response:
        query = request.query
        key = SeriesKey(
            query.get("market", SPOT), query.get("symbol", ""), query.get("interval", "")
        )
        series = self._book.find(key)
        if series is None:
            return _bad("there is no such market, symbol and interval", "unknown_series")
        try:
            first, last = (_seconds(query.get(name)) for name in ("start", "end"))
        except ValueError:
            return _bad("start and end are whole seconds", "bad_time")
        first, last = first or 0, last or _LATEST_S
        return _json(
            {
                "candles": self._true_candles(series, first, last),
                "absences": self._absences(series, first, last),
            }
        )

    def _true_candles(self, series: Series, first: int, last: int) -> list[dict[str, object]]:
        rows = self._book.truth(
            series, first_ms=first * 1000, last_ms=last * 1000, limit=_MOST_TRUTHS
        )
        listing = series.listing
        return [
            {
                "candle_time": open_ms // 1000,
                **{
                    name: float(listing.price_text(ticks))
                    for name, ticks in zip(candle._fields[:4], candle[:4], strict=True)
                },
                "volume": float(listing.volume_text(candle.volume)),
            }
            for open_ms, candle in rows
        ]

    def _absences(self, series: Series, first: int, last: int) -> list[dict[str, object]]:
        """What REST does not serve, and why; from the listing on if that is later."""
        first_ms = max(first * 1000, series.listing.listed_ms)
        absences = self._book.absences(series, first_ms=first_ms, last_ms=last * 1000)
        return [absence.as_object for absence in absences]

    def _shown_faults(self) -> list[dict[str, object]]:
        return [fault.as_object() for fault in self._book.faults.all()]


def _seconds(text: str | None) -> int | None:
    return None if text is None else min(max(int(text), 0), _LATEST_S)


def _json(body: object, *, status: int = 200) -> web.Response:
    return web.Response(body=orjson.dumps(body), status=status, content_type="application/json")


def _bad(detail: str, code: str) -> web.Response:
    return _json({"detail": detail, "code": code}, status=400)
