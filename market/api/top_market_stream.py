"""GET /api/market/top_markets/stream: the ranking again whenever it changes, server-sent."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import AsyncGenerator, Iterator

import orjson
from django.core.exceptions import SuspiciousOperation
from django.db import DatabaseError
from django.http import QueryDict, StreamingHttpResponse
from django.utils.translation import gettext_lazy as _
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

# A stream ends after this and EventSource opens the next one, so that no client is kept for ever.
MAX_STREAM_S = 900.0
MAX_STREAMS = 500

HEADERS = {
    "Content-Type": "text/event-stream",
    "Cache-Control": "no-cache",
    "X-Accel-Buffering": "no",
}


class StreamPlaces:
    """The number of open streams of this process, and its bound."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._lock = threading.Lock()
        self.taken = 0

    def require_free(self) -> None:
        """Raise ApiError 503 `too_many_streams` when all are taken."""
        if self.taken >= self._most:
            raise ApiError(503, ErrorCode.TOO_MANY_STREAMS, _("too many streams are open"))

    @contextlib.contextmanager
    def take(self) -> Iterator[None]:
        """Hold a place for as long as the block runs."""
        with self._lock:
            self.taken += 1
        try:
            yield
        finally:
            with self._lock:
                self.taken -= 1


places = StreamPlaces(MAX_STREAMS)


class TopMarketsStream(Endpoint):
    """The stream as Django serves it; market.api.front answers good requests before it."""

    @extend_schema(
        operation_id="top_markets_stream",
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
        await _send_until_gone(stream(asked), receive, send)


def _checked(parameters: QueryDict) -> TopMarketsStreamQuery:
    """The checked query; raises ApiError, also when too many streams are open."""
    asked = check_query(TopMarketsStreamQuery, parameters)
    require_known_exchange(asked)
    places.require_free()
    return asked


async def _send_until_gone(events: AsyncGenerator[bytes], receive: Receive, send: Send) -> None:
    """Send a body as it comes, until it ends or the client is gone."""

    async def send_all() -> None:
        async with contextlib.aclosing(events) as each:
            async for event in each:
                await send({"type": "http.response.body", "body": event, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def disconnected() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass

    tasks = [asyncio.create_task(send_all()), asyncio.create_task(disconnected())]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def stream(asked: TopMarketsStreamQuery) -> AsyncGenerator[bytes]:
    """The events of a stream until its end; closing it ends it at once."""
    deadline = time.monotonic() + MAX_STREAM_S
    emitted = 0
    last: object = None
    with places.take():
        while time.monotonic() < deadline:
            event, last = await _look(asked, last)
            if event:
                emitted += 1
                yield event
                if emitted == asked.max_events:
                    return
            yield f": ping {int(time.time())}\n\n".encode()
            await asyncio.sleep(asked.interval_s)


async def _look(asked: TopMarketsStreamQuery, last: object) -> tuple[bytes, object]:
    """The next event, empty when nothing changed, and the items that were emitted last."""
    try:
        ranking = await asyncio.wrap_future(begin_ranking(asked, force=False))
    except (FeedRefused, TopMarketsUnavailable, TimeoutError) as error:
        at = int(time.time() * 1000)
        return _event("error", {"at_ms": at, "message": str(error), "type": "error"}), last
    answer = ranking_answer(asked, ranking)
    if answer["items"] == last:
        return b"", last
    return _event("top_markets", answer, number=answer["generated_at_ms"]), answer["items"]


def _event(name: str, payload: dict[str, object], *, number: int | None = None) -> bytes:
    identity = "" if number is None else f"id: {number}\n"
    data = orjson.dumps(payload, option=orjson.OPT_SORT_KEYS).decode()
    return f"{identity}event: {name}\ndata: {data}\n\n".encode()
