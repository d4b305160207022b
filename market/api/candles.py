"""GET /api/market/candles: pages of closed candles."""

from __future__ import annotations

import time

from django.http import HttpResponse
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request

from market import blocking
from market.api import metrics
from market.api.answers import CandlesAnswer
from market.api.candle_pages import Body, PageQuery, candle_pages
from market.api.conditional import accepts_gzip, headers_of, is_unchanged
from market.api.endpoint import Endpoint
from market.api.handover import handover_of
from market.api.requests import CandlesQuery
from market.api.schema import BAD_SERIES_ID, STORE_DOWN, parameters_of, responses
from market.api.tail import after_read
from market.domain.series import SeriesId


def page_body(query: PageQuery, accept_encoding: str) -> Body:
    """The body of a page as the store stands now; blocks on the store and on compressing."""
    page = candle_pages().read(query)
    return page.body(accepts_gzip=accepts_gzip(accept_encoding))


class Candles(Endpoint):
    """The hot path: requests seen once are answered by market.api.fast_path without Django."""

    @extend_schema(
        operation_id="candles",
        description=(
            "The newest `limit` candles, or with `since` the oldest `limit` candles after that "
            "time. `server_head_time` is the newest closed candle. Answers carry an ETag; a "
            "request with If-None-Match is answered 304 while nothing changed. `X-Series-Epoch` is "
            "what a client gives as `epoch` when it subscribes, to hear what was revised since."
        ),
        parameters=parameters_of(CandlesQuery),
        responses=responses(CandlesAnswer, BAD_SERIES_ID, STORE_DOWN) | {304: None},
    )
    def get(self, request: Request) -> HttpResponse:
        """A page of a series."""
        asked = self.query(CandlesQuery)
        query = PageQuery(SeriesId.parse(asked.series_id), asked.since, asked.limit)
        started = time.perf_counter()
        try:
            body = blocking.call(page_body, query, request.headers.get("Accept-Encoding", ""))
        except Exception:
            metrics.page_failed(started)
            raise
        handover = handover_of(request._request)
        if handover:
            handover.page = query
        after_read(query)
        answer = _response(body, request.headers.get("If-None-Match", ""))
        unchanged = answer.status_code == 304
        metrics.page_answered(query.series, body.rows, body.head, started, unchanged=unchanged)
        return answer


def _response(body: Body, if_none_match: str) -> HttpResponse:
    headers = headers_of(body)
    if if_none_match and is_unchanged(if_none_match, body.etag):
        headers.pop("Content-Encoding", None)
        return HttpResponse(status=304, headers=headers)
    return HttpResponse(body.content, content_type="application/json", headers=headers)
