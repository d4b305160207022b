"""GET /api/market/top_markets/stream: the ranking again whenever it changes, server-sent."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncGenerator
from typing import Any, NamedTuple

import orjson
from django.core.exceptions import SuspiciousOperation
from django.db import DatabaseError
from django.http import QueryDict, StreamingHttpResponse
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request

from market import blocking
from market.api.answers import TopMarketsEvent
from market.api.asgi import Application, Receive, Scope, Send, header_list
from market.api.checks import check_query
from market.api.common_headers import CommonHeaders
from market.api.endpoint import Endpoint
from market.api.error_codes import ErrorCode
from market.api.errors import ApiError
from market.api.event_streams import (
    HEADERS,
    MAX_STREAM_S,
    StreamPlaces,
    event,
    ping,
    send_until_gone,
)
from market.api.requests import TopMarketsStreamQuery
from market.api.schema import errors_of, parameters_of
from market.api.top_markets import (
    begin_ranking,
    ranking_answer,
    require_known_exchange,
    require_ranked_exchange,
)
from market.domain.feed import FeedRefused
from market.exchanges.top_markets import TopMarketsUnavailable
from market.ingest.admission import is_ranked
from market.singletons import on_reset

MAX_STREAMS = 500

# Tickers are fetched every few seconds, and a thousand streams look as often.
SHARED_S = 0.5
MAX_KEPT = 64

places = StreamPlaces(MAX_STREAMS)


class _Shown(NamedTuple):
    """A ranking, and when (monotonic seconds) it was looked up."""

    at: float
    items: list[dict[str, Any]]
    event: bytes


_kept: dict[tuple[object, ...], _Shown] = {}
_keeping = threading.Lock()
on_reset(_kept.clear)


class TopMarketsStream(Endpoint):
    """The stream as Django serves it; market.api.front answers good requests before it."""

    @extend_schema(
        operation_id="top_markets_stream",
        summary="Follow the markets with the greatest volume",
        description=(
            "Server-sent events: `top_markets` with a ranking when it differs from the last, "
            "`error` when there is none, and a comment after each look. The stream ends after "
            "`max_events`, or after 15 minutes: the browser opens the next one."
        ),
        parameters=parameters_of(TopMarketsStreamQuery),
        responses={(200, "text/event-stream"): TopMarketsEvent}
        | errors_of(
            {
                400: ErrorCode.UNSUPPORTED_EXCHANGE,
                503: (ErrorCode.TOO_MANY_STREAMS, ErrorCode.STORE_UNAVAILABLE),
            }
        ),
    )
    def get(self, request: Request) -> StreamingHttpResponse:
        """The stream."""
        asked = _checked(self.request.query_params)
        require_ranked_exchange(asked)
        return StreamingHttpResponse(stream(asked), headers=HEADERS)


class TopMarketStreamFront:
    """ASGI middleware for GET top_markets/stream: ends a stream at once when its request ends.

    Django's handler keeps sending while the task of the request is cancelled, as it is when this
    process shuts down.
    """

    def __init__(self, application: Application) -> None:
        self._application = application
        # Without a query: 422.
        self._common_headers = CommonHeaders(application, method="GET", status=422)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Stream to a good request, pass everything else to Django."""
        try:
            asked = _checked(QueryDict(scope["query_string"].decode()))
            is_good = await blocking.run(is_ranked, asked.exchange)
        except (ApiError, SuspiciousOperation, ValueError, DatabaseError, TimeoutError):
            is_good = False
        if not is_good:
            await self._application(scope, receive, send)
            return
        common = await self._common_headers.of(scope, dict(scope["headers"]))
        if common is None:
            await self._application(scope, receive, send)
            return
        headers = header_list(HEADERS) + common
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send_until_gone(stream(asked), receive, send)


def _checked(parameters: QueryDict) -> TopMarketsStreamQuery:
    """The checked query; raises ApiError, also when too many streams are open."""
    asked = check_query(TopMarketsStreamQuery, parameters)
    require_known_exchange(asked)
    places.require_free()
    return asked


async def stream(asked: TopMarketsStreamQuery) -> AsyncGenerator[bytes]:
    """The events of a stream until its end; closing it ends it at once."""
    deadline = time.monotonic() + MAX_STREAM_S
    emitted = 0
    last: object = None
    with places.take():
        while time.monotonic() < deadline:
            found, last = await _look(asked, last)
            if found:
                emitted += 1
                if emitted == asked.max_events:
                    yield found
                    return
            # Both in one write.
            yield found + ping()
            await asyncio.sleep(asked.interval_s)


async def _look(asked: TopMarketsStreamQuery, last: object) -> tuple[bytes, object]:
    """The next event, empty when nothing changed, and the items that were emitted last."""
    try:
        shown = await _shown(asked)
    except (FeedRefused, TopMarketsUnavailable, TimeoutError) as error:
        at = int(time.time() * 1000)
        return _event("error", {"at_ms": at, "message": str(error), "type": "error"}), last
    return (b"", last) if shown.items == last else (shown.event, shown.items)


async def _shown(asked: TopMarketsStreamQuery) -> _Shown:
    """The ranking as an event, made once for all streams that look within `SHARED_S`."""
    key = (asked.exchange, asked.market, asked.quote_asset.upper(), asked.limit, asked.ticks)
    kept = _kept.get(key)
    if kept is not None and time.monotonic() - kept.at < SHARED_S:
        return kept
    ranking = await asyncio.wrap_future(begin_ranking(asked, force=False))
    answer = ranking_answer(asked, ranking)
    encoded = _event("top_markets", answer, number=answer["generated_at_ms"])
    shown = _Shown(time.monotonic(), answer["items"], encoded)
    with _keeping:
        _kept.pop(key, None)
        _kept[key] = shown
        for oldest in list(_kept)[:-MAX_KEPT]:
            del _kept[oldest]
    return shown


def _event(name: str, payload: dict[str, object], *, number: object = None) -> bytes:
    identity = None if number is None else str(number)
    return event(name, orjson.dumps(payload, option=orjson.OPT_SORT_KEYS), number=identity)
