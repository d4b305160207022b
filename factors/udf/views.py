"""GET /udf/…: candles and marks for charts that speak UDF, TradingView's data feed protocol."""

from __future__ import annotations

import time
from collections.abc import Callable
from math import ceil, floor
from typing import Any

from asgiref.sync import async_to_sync
from django.conf import settings
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from factors.udf import history, marks, symbols
from factors.udf.answers import (
    UdfBarsAnswer,
    UdfConfigAnswer,
    UdfFoundListAnswer,
    UdfMarkListAnswer,
    UdfSymbolAnswer,
    UdfTimescaleMarkListAnswer,
)
from factors.udf.requests import BarsQuery, MarksQuery, ResolveQuery, SearchQuery
from factors.udf.resolutions import OFFERED, ResolutionError, timeframe_of
from market import blocking
from market.api.candle_query import PageQuery
from market.api.endpoint import Endpoint
from market.api.error_codes import ErrorCode
from market.api.errors import ApiError
from market.api.readable import require_readable
from market.api.schema import SERIES_DAMAGED, STORE_DOWN, SWITCHED_OFF, parameters_of, responses
from market.api.tail import after_read
from market.domain.series import SeriesId
from market.ingest.admission import served_exchanges
from market.ingest.derive import first_fill
from market.ingest.desired import whitelisted_series
from market.runtime import derived_timeframes

ALL = ""

UNKNOWN_SYMBOL = {404: (ErrorCode.UNKNOWN_SYMBOL, ErrorCode.NOT_FOUND)}
BAD_RANGE = {
    400: (ErrorCode.UNSUPPORTED_RESOLUTION, ErrorCode.INVALID_SERIES_ID, ErrorCode.SERIES_ALIAS)
}


class UdfEndpoint(Endpoint):
    """An endpoint that is there with its switch only."""

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Raise ApiError 404 `not_found` while UDF is switched off."""
        if not settings.SWITCHES.enable_udf:
            as_udf = {"s": "error", "errmsg": "not_found"}
            raise ApiError(404, ErrorCode.NOT_FOUND, "not_found", fields=as_udf)
        super().initial(request, *args, **kwargs)


class Config(UdfEndpoint):
    """What a chart may ask."""

    @extend_schema(
        operation_id="udf_config",
        summary="Read the configuration of the datafeed",
        description="What a chart may ask here: exchanges, markets, resolutions.",
        responses=responses(UdfConfigAnswer, SWITCHED_OFF),
    )
    def get(self, request: Request) -> Response:
        """The configuration."""
        exchanges = served_exchanges(blocking.call(whitelisted_series))
        return Response(
            {
                "supports_search": True,
                "supports_group_request": False,
                "supports_marks": True,
                "supports_timescale_marks": True,
                "supports_time": True,
                "exchanges": [
                    {"name": "All exchanges", "value": ALL, "desc": ""},
                    *({"name": each, "value": each, "desc": each} for each in exchanges),
                ],
                "symbols_types": [
                    {"name": "All types", "value": ALL},
                    *({"name": each.capitalize(), "value": each} for each in symbols.MARKETS),
                ],
                "supported_resolutions": list(OFFERED),
            }
        )


class Time(UdfEndpoint):
    """The server's clock."""

    @extend_schema(
        operation_id="udf_time",
        summary="Read the server's clock",
        description="The server's time in Unix seconds.",
        responses=responses(int, SWITCHED_OFF),
    )
    def get(self, request: Request) -> Response:
        """The time as a plain number."""
        return Response(int(time.time()))


class Resolve(UdfEndpoint):
    """One symbol."""

    @extend_schema(
        operation_id="udf_symbols",
        summary="Resolve one symbol",
        description=(
            "A symbol by its ticker, or by its name alone if an exchange lists it, in any case: "
            "charts write what a user types in capitals. The multipliers are the resolutions with "
            "candles; a chart makes the others of `supported_resolutions` of them."
        ),
        parameters=parameters_of(ResolveQuery),
        responses=responses(UdfSymbolAnswer, UNKNOWN_SYMBOL, STORE_DOWN),
    )
    def get(self, request: Request) -> Response:
        """The symbol."""
        found = symbols.resolve(self.query(ResolveQuery).symbol)
        if found is None:
            raise ApiError(404, ErrorCode.UNKNOWN_SYMBOL, "unknown symbol")
        return Response(found)


class Search(UdfEndpoint):
    """Symbols by name."""

    @extend_schema(
        operation_id="udf_search",
        summary="Search symbols for a chart",
        description="The symbols that GET /api/market/symbols finds, the best first.",
        parameters=parameters_of(SearchQuery),
        responses=responses(UdfFoundListAnswer, SWITCHED_OFF, STORE_DOWN),
    )
    def get(self, request: Request) -> Response:
        """The symbols found."""
        asked = self.query(SearchQuery)
        if asked.type not in (ALL, *symbols.MARKETS):
            return Response([])
        found = symbols.search(
            asked.query,
            exchange=asked.exchange.lower() or None,
            market=asked.type or None,
            limit=asked.limit,
        )
        return Response([symbols.found(each) for each in found])


class Bars(UdfEndpoint):
    """Closed candles."""

    @extend_schema(
        operation_id="udf_history",
        summary="Read bars of a symbol",
        description=(
            "Closed candles with `from` <= time < `to`, ascending, and at least `countback` of "
            f"them where there are so many before `to`; at most {history.MOST_BARS}, the newest. "
            "`no_data` means that there are none, with `nextTime` if there are earlier ones. "
            "`X-Series-Epoch` grows with every revision of a stored candle."
        ),
        parameters=parameters_of(BarsQuery),
        responses=responses(UdfBarsAnswer, BAD_RANGE, SERIES_DAMAGED, SWITCHED_OFF, STORE_DOWN),
    )
    def get(self, request: Request) -> Response:
        """Bars of one symbol."""
        asked = self.query(BarsQuery)
        series = _series(asked.symbol, asked.resolution)
        wanted = history.Range(asked.start, asked.end, asked.countback)
        found = blocking.call(history.bars().answer, series, wanted)
        if found.head is None and derived_timeframes().base_of(series):
            async_to_sync(first_fill)(series)
            found = blocking.call(history.bars().answer, series, wanted)
        if found.head is None or asked.end > found.head:
            after_read(PageQuery(series, None, max(1, min(asked.countback, history.MOST_BARS))))
        headers = {"X-Series-Epoch": str(found.epoch), "X-Series-Generation": found.generation}
        return Response(found.content, headers=headers)


class Marks(UdfEndpoint):
    """Facts of factors."""

    @extend_schema(
        operation_id="udf_marks",
        summary="Read marks at bars",
        description=(
            "The facts that factors found between two times, each at the candle with which it "
            f"became visible: the newest {marks.MOST_MARKS}, of the kinds that the catalog names "
            "and shows by default."
        ),
        parameters=parameters_of(MarksQuery),
        responses=responses(UdfMarkListAnswer, BAD_RANGE, SWITCHED_OFF, STORE_DOWN),
    )
    def get(self, request: Request) -> Response:
        """Marks at bars."""
        return Response(_marks(self.query(MarksQuery), marks.marks))


class TimescaleMarks(UdfEndpoint):
    """Gaps."""

    @extend_schema(
        operation_id="udf_timescale_marks",
        summary="Read marks at the time scale",
        description=(
            "The gaps between two times, each at the first candle after it: the newest "
            f"{marks.MOST_MARKS}."
        ),
        parameters=parameters_of(MarksQuery),
        responses=responses(UdfTimescaleMarkListAnswer, BAD_RANGE, SWITCHED_OFF, STORE_DOWN),
    )
    def get(self, request: Request) -> Response:
        """Marks at the time scale."""
        return Response(_marks(self.query(MarksQuery), marks.gap_marks))


def _series(ticker: str, resolution: str) -> SeriesId:
    """The series that a chart asks for; raises ApiError 400, and SeriesIdError."""
    try:
        timeframe = timeframe_of(resolution)
    except ResolutionError as error:
        raise ApiError(400, ErrorCode.UNSUPPORTED_RESOLUTION, "unsupported resolution") from error
    series = SeriesId.parse(f"{ticker}:{timeframe}")
    require_readable(series)
    return series


def _marks(
    asked: MarksQuery, read: Callable[[SeriesId, int, int], list[dict[str, Any]]]
) -> list[dict[str, Any]]:
    series = _series(asked.symbol, asked.resolution)
    return blocking.call(read, series, max(0, ceil(asked.start)), floor(asked.end))
