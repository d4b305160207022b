"""GET /api/market/top_markets and its stream: which symbols trade most."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncGenerator, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import orjson
from django.http import HttpResponse, StreamingHttpResponse
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from market.api.answers import TopMarketsAnswer, TopMarketsEvent
from market.api.endpoint import Endpoint
from market.api.errors import ApiError
from market.api.handover import handover_of
from market.api.requests import RankingQuery, TopMarketsQuery, TopMarketsStreamQuery
from market.api.schema import errors_of, parameters_of, responses
from market.domain.feed import FeedRefused
from market.domain.throttle import Throttle
from market.exchanges.ccxt_client import known_exchanges
from market.exchanges.top_markets import (
    ANSWER_TIMEOUT_S,
    Ranking,
    TopMarketsUnavailable,
    exchange_loop,
)

FORCE_INTERVAL_S = 2.0

# A stream ends after this and EventSource opens the next one: no client is kept for ever.
MAX_STREAM_S = 900.0
MAX_STREAMS = 500

ERRORS = {
    400: "unsupported_exchange",
    502: "upstream_error",
}


@lru_cache(maxsize=1)
def force_throttle() -> Throttle[tuple[str, str, str]]:
    """When a client address may force a fetch of an exchange's market again."""
    return Throttle(FORCE_INTERVAL_S)


def begin_ranking(asked: RankingQuery, *, force: bool) -> Future[Ranking]:
    """Begin a ranking; raises ApiError 400 for an exchange that nobody knows."""
    if asked.exchange not in known_exchanges():
        raise unsupported_exchange()
    quote = asked.quote_asset.upper()
    return exchange_loop().ranking(asked.exchange, asked.market, quote=quote, force=force)


def unsupported_exchange() -> ApiError:
    """The answer to an exchange that has no such list."""
    return ApiError(400, "unsupported_exchange", "unsupported exchange")


def ranking_answer(asked: RankingQuery, ranking: Ranking) -> dict[str, Any]:
    """The answer to a ranking query."""
    origin = {"exchange": asked.exchange, "market": asked.market}
    return origin | {
        "quote_asset": asked.quote_asset.upper(),
        "limit": asked.limit,
        "generated_at_ms": int(time.time() * 1000),
        "cached": ranking.cached,
        "items": [origin | one._asdict() for one in ranking.items[: asked.limit]],
    }


class TopMarkets(Endpoint):
    """A ranking."""

    @extend_schema(
        operation_id="top_markets",
        description="Any exchange that ccxt knows, and `sim`. A stale list is better than none.",
        parameters=parameters_of(TopMarketsQuery),
        responses=responses(TopMarketsAnswer, ERRORS, {429: "rate_limited"}),
    )
    def get(self, request: Request) -> Response:
        """The symbols with the greatest volume."""
        asked = self.query(TopMarketsQuery)
        if asked.exchange not in known_exchanges():
            raise unsupported_exchange()
        if asked.force:
            address = str(request.META.get("REMOTE_ADDR", ""))
            if force_throttle().admit((address, asked.exchange, asked.market)):
                raise ApiError(429, "rate_limited", "rate_limited", headers={"Retry-After": "2"})
        try:
            ranking = begin_ranking(asked, force=asked.force).result(ANSWER_TIMEOUT_S + 1)
        except FeedRefused as error:
            raise unsupported_exchange() from error
        except (TopMarketsUnavailable, TimeoutError) as error:
            raise ApiError(502, "upstream_error", f"upstream_error:{error}") from error
        return Response(ranking_answer(asked, ranking))


class StreamPlaces:
    """How many streams are open in this process."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._taken = 0
        self._lock = threading.Lock()

    def require_free(self) -> None:
        """Raise ApiError 503 `too_many_streams` when all are taken."""
        if self._taken >= self._most:
            raise ApiError(503, "too_many_streams", "too many streams are open")

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Hold a place for as long as the block runs."""
        with self._lock:
            self._taken += 1
        try:
            yield
        finally:
            with self._lock:
                self._taken -= 1


places = StreamPlaces(MAX_STREAMS)


class TopMarketsStream(Endpoint):
    """A ranking whenever it changes, as server-sent events."""

    @extend_schema(
        operation_id="top_markets_stream",
        description=(
            "Server-sent events: `top_markets` with a ranking when it differs from the last, "
            "`error` when it can't be had, and a comment after each look. The stream ends after "
            "`max_events`, or after 15 minutes: the browser opens the next one."
        ),
        parameters=parameters_of(TopMarketsStreamQuery),
        responses={(200, "text/event-stream"): TopMarketsEvent}
        | errors_of({400: "unsupported_exchange", 503: "too_many_streams"}),
    )
    def get(self, request: Request) -> HttpResponse | StreamingHttpResponse:
        """The stream."""
        asked = self.query(TopMarketsStreamQuery)
        if asked.exchange not in known_exchanges():
            raise unsupported_exchange()
        places.require_free()
        headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
        events = stream(asked)
        handover = handover_of(request._request)
        if handover:
            handover.stream = events
            return HttpResponse(content_type="text/event-stream", headers=headers)
        return StreamingHttpResponse(events, content_type="text/event-stream", headers=headers)


async def stream(asked: TopMarketsStreamQuery) -> AsyncGenerator[bytes]:
    """The events of a stream until its end; closing it ends it at once."""
    deadline = time.monotonic() + MAX_STREAM_S
    emitted = 0
    last: object = None
    with places.taken():
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


def _event(name: str, payload: dict[str, Any], *, number: int | None = None) -> bytes:
    identity = "" if number is None else f"id: {number}\n"
    data = orjson.dumps(payload, option=orjson.OPT_SORT_KEYS).decode()
    return f"{identity}event: {name}\ndata: {data}\n\n".encode()
