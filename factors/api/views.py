"""GET /api/factor/…: the catalog, the health of the ledgers, and the facts at a candle."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from factors import runtime
from factors.api.answers import CatalogAnswer, FactorHealthAnswer, FactorSlicesAnswer
from factors.api.refusals import OUT_OF_SYNC, ledger_behind
from factors.api.requests import FactorHealthQuery, SlicesQuery
from factors.domain.graph import catalog
from factors.domain.slices import EVENT_LIMIT, envelope, slices, window_start
from factors.events import holds
from factors.health import health, read_heads
from factors.lazy_json import as_json
from market import blocking
from market.api.endpoint import Endpoint
from market.api.readable import readable_series
from market.api.schema import BAD_SERIES_ID, STORE_DOWN, errors_of, parameters_of, responses
from market.domain.series import SeriesId
from market.runtime import candle_store


class Catalog(Endpoint):
    """All factors."""

    @extend_schema(
        operation_id="factor_catalog",
        summary="List the factors",
        description="The factors and their parts that a client may show or hide.",
        responses=responses(CatalogAnswer),
    )
    def get(self, request: Request) -> Response:
        """The catalog."""
        return Response(catalog(runtime.engine().factors))


class FactorHealth(Endpoint):
    """The health of a series' ledgers."""

    @extend_schema(
        operation_id="factor_health",
        summary="Read how far the ledgers of a series are behind",
        description=(
            "Green: the ledgers hold every candle. Yellow: one is missing. Red: more are missing, "
            "or a ledger holds nothing. Gray: there are no candles."
        ),
        parameters=parameters_of(FactorHealthQuery),
        responses=responses(FactorHealthAnswer, BAD_SERIES_ID, STORE_DOWN),
    )
    def get(self, request: Request) -> Response:
        """Health of one series."""
        series = readable_series(self.query(FactorHealthQuery).series_id)
        return Response(health(series, blocking.call(read_heads, series)))


class Slices(Endpoint):
    """The facts of all factors at a candle."""

    @extend_schema(
        operation_id="factor_slices",
        summary="Read the facts of all factors at a candle",
        description=(
            "Facts visible and state as of the newest candle at or before `at_time`. Facts are "
            "those of the `window_candles` before it, state is the newest however old."
        ),
        parameters=parameters_of(SlicesQuery),
        responses=responses(FactorSlicesAnswer, BAD_SERIES_ID, STORE_DOWN) | errors_of(OUT_OF_SYNC),
    )
    def get(self, request: Request) -> Response:
        """The slices of one series."""
        asked = self.query(SlicesQuery)
        series = readable_series(asked.series_id)
        answer = blocking.call(read_slices, series, asked.at_time, asked.window_candles)
        return Response(as_json(answer))


def read_slices(series: SeriesId, at_time: int, window_candles: int) -> dict[str, Any]:
    """The slices at a time; raises ApiError 409. Blocking."""
    store = candle_store()
    # Read before the ledger: then a batch committed in between can't make the ledger look old.
    epoch = store.state(series).epoch
    aligned = store.floor(series, at_time)
    if aligned is None:
        return envelope(series, at_time, candle_id=None, found={})
    view = runtime.factor_ledger().view(
        series,
        start=window_start(aligned, window_candles, series.timeframe),
        at_time=aligned,
        limit=EVENT_LIMIT,
    )
    if not holds(view.position, series, aligned, epoch=epoch):
        raise ledger_behind()
    found = slices(
        runtime.engine().factors, series, at_time=aligned, events=view.events, heads=view.heads
    )
    return envelope(series, aligned, candle_id=series.candle_id(aligned), found=found)
