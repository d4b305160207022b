"""GET /api/market/candles: pages of closed candles."""

from __future__ import annotations

import time

from asgiref.sync import async_to_sync
from django.http import HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request

from market.api import metrics
from market.api.answers import CandlesAnswer
from market.api.candle_answer import (
    CANDLES_VARY,
    COMPACT_TYPE,
    VARY,
    Answer,
    accepts_gzip,
    answer_with,
)
from market.api.candle_pages import candle_pages, page_sent
from market.api.candle_query import page_query
from market.api.endpoint import Endpoint
from market.api.readable import require_readable
from market.api.requests import CandlesQuery
from market.api.schema import BAD_SERIES_ID, SERIES_DAMAGED, STORE_DOWN, parameters_of, responses
from market.api.tail import after_read
from market.ingest.derive import first_fill
from market.runtime import derived_timeframes


class Candles(Endpoint):
    """Reads pages; market.api.candle_front stands before it and answers those that are cached."""

    @extend_schema(
        operation_id="candles",
        summary="Read a page of closed candles",
        description=(
            "The newest `limit` candles, or with `since` the oldest `limit` candles after that "
            "time. `server_head_time` is the newest closed candle. Answers carry an ETag; a "
            "request with If-None-Match is answered 304 while nothing changed. `X-Series-Epoch` is "
            "what a client sends as `epoch` when it subscribes, to receive the revisions since. "
            f"With `Accept: {COMPACT_TYPE}` the candles are in the format of "
            "docs/history-format.md where the server has compact history; `X-Series-Id` and "
            "`X-Server-Head-Time` then are what JSON has beside them."
        ),
        parameters=parameters_of(CandlesQuery),
        responses=responses(CandlesAnswer, BAD_SERIES_ID, SERIES_DAMAGED, STORE_DOWN)
        | {(200, COMPACT_TYPE): OpenApiTypes.BINARY, 304: None},
    )
    def get(self, request: Request) -> HttpResponse:
        """A page of a series."""
        query = page_query(self.request.query_params).in_form(request.headers.get("Accept", ""))
        require_readable(query.series)
        gzip = accepts_gzip(request.headers.get("Accept-Encoding", ""))
        started = time.perf_counter()
        try:
            # On this request's own thread: waiting here for another pool would hold up two.
            page = candle_pages().read(query, gzip=gzip)
            if page.head is None and derived_timeframes().base_of(query.series):
                async_to_sync(first_fill)(query.series)
                page = candle_pages().read(query, gzip=gzip)
        except Exception:
            metrics.page_failed(started)
            raise
        after_read(query)
        tags = request.headers.get("If-None-Match", "")
        answer = answer_with(page.body(accepts_gzip=gzip), tags)
        unchanged = answer.status == 304
        metrics.page_answered(query.series, page.rows, page.head, started, unchanged=unchanged)
        page_sent(query, page)
        return http_response(answer, vary=CANDLES_VARY)


def http_response(answer: Answer, *, vary: str = VARY) -> HttpResponse:
    """An answer as Django sends it; `vary` names the request headers that it depends on."""
    headers = {name.decode(): value.decode() for name, value in answer.headers}
    response = HttpResponse(answer.content, status=answer.status, headers=headers)
    response["Vary"] = vary
    if answer.status == 304:
        # Django adds one to every answer.
        del response["Content-Type"]
    return response
