"""In front of Django: takes closed candles of token holders without the way through Django.

A candle should reach its watchers within about the time of its commit. Django's thread hops take
longer than that, so it only judges the first request of each Host, and everything that is refused.
"""

from __future__ import annotations

from collections.abc import Mapping

import orjson

from market.api.asgi import (
    Application,
    HeaderList,
    Message,
    Receive,
    Scope,
    Send,
    json_headers,
    respond,
)
from market.api.checks import check_body
from market.api.errors import ApiError, answer_to
from market.api.ingest import closed_candle, ingested, store_and_publish
from market.api.rendering import MAX_BODY_BYTES, parse_json
from market.api.requests import ClosedCandleBody
from market.api.writes import may_write
from market.domain.candle import Candle
from market.domain.series import SeriesId, SeriesIdError

CLOSED_PATH = "/api/market/ingest/candle_closed"
MAX_KNOWN_HOSTS = 64
OWN_HEADERS = frozenset({b"content-length", b"content-type", b"set-cookie"})

# CORS and sessions are Django's business.
NOT_OURS = frozenset({b"origin", b"cookie"})


class ClosedCandlePath:
    """ASGI middleware for POST candle_closed."""

    def __init__(self, application: Application) -> None:
        self._application = application
        self._known: dict[bytes, HeaderList] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Take a candle, or pass the request on."""
        headers = _headers(scope)
        if headers is None:
            await self._application(scope, receive, send)
            return
        host = headers.get(b"host", b"")
        if host not in self._known:
            await self._application(scope, receive, _Learning(self, host, send).send)
            return
        body, again = await _read(receive)
        candle = _accepted(scope, headers, body)
        if candle is None:
            await self._application(scope, again, send)
            return
        await _take(*candle, send=send, headers=self._known[host])

    def learn(self, host: bytes, headers: HeaderList) -> None:
        """Remember what Django puts on an answer to this Host."""
        if len(self._known) >= MAX_KNOWN_HOSTS:
            self._known.clear()
        self._known[host] = [one for one in headers if one[0].lower() not in OWN_HEADERS]


class _Learning:
    """Passes Django's answer on; from a good one its headers are learned."""

    def __init__(self, path: ClosedCandlePath, host: bytes, send: Send) -> None:
        self._path = path
        self._host = host
        self._send = send

    async def send(self, message: Message) -> None:
        """Pass one message on."""
        if message["type"] == "http.response.start" and message["status"] == 200:
            self._path.learn(self._host, list(message["headers"]))
        await self._send(message)


def _headers(scope: Scope) -> Mapping[bytes, bytes] | None:
    """The headers of a request that may be ours; None for all others."""
    if scope["type"] != "http" or scope["path"] != CLOSED_PATH or scope["method"] != "POST":
        return None
    headers = dict(scope["headers"])
    if NOT_OURS & headers.keys():
        return None
    kind = headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
    return headers if kind == b"application/json" else None


async def _read(receive: Receive) -> tuple[bytes | None, Receive]:
    """The body if it came whole and within its bound, and a way to receive all of it again."""
    seen: list[Message] = []
    size, is_whole = 0, False
    while not is_whole and size <= MAX_BODY_BYTES:
        message = await receive()
        seen.append(message)
        if message["type"] != "http.request":
            break
        size += len(message.get("body", b""))
        is_whole = not message.get("more_body", False)
    within = is_whole and size <= MAX_BODY_BYTES
    body = b"".join(message.get("body", b"") for message in seen) if within else None

    async def again() -> Message:
        return seen.pop(0) if seen else await receive()

    return body, again


def _accepted(
    scope: Scope, headers: Mapping[bytes, bytes], body: bytes | None
) -> tuple[SeriesId, Candle] | None:
    """The candle of a good request; None for one that Django must refuse."""
    authorization = headers.get(b"authorization", b"").decode("latin-1")
    address = (scope.get("client") or ("",))[0]
    if body is None or not may_write(authorization, address, headers=headers):
        return None
    try:
        return closed_candle(check_body(ClosedCandleBody, parse_json(body)))
    except (ApiError, SeriesIdError):
        return None


async def _take(series: SeriesId, candle: Candle, *, send: Send, headers: HeaderList) -> None:
    try:
        await store_and_publish(series, [candle], publish=True)
        status, content = 200, orjson.dumps(ingested(series, candle))
    except Exception as error:
        answer = answer_to(error, CLOSED_PATH)
        status, content = answer.status, orjson.dumps(answer.body())
        told = [(name.lower().encode(), value.encode()) for name, value in answer.headers.items()]
        headers = [*told, *headers]
    await respond(send, status, [*json_headers(content), *headers], content)
