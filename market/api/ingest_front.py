"""In front of Django: accepts closed candles of token holders without Django's threads.

A candle should reach its watchers within about the time of its commit. Django's thread hops take
longer than that. The candle is checked, stored and answered by the same functions as in the view;
whatever has to be refused is left to Django.
"""

from __future__ import annotations

from collections.abc import Mapping

import orjson

from market.api.asgi import (
    Application,
    Message,
    Receive,
    Scope,
    Send,
    json_headers,
    respond,
)
from market.api.checks import check_body
from market.api.common_headers import CommonHeaders
from market.api.errors import ApiError, answer_to
from market.api.ingest import closed_candle, ingest_closed
from market.api.rendering import MAX_BODY_BYTES, parse_json
from market.api.requests import ClosedCandleBody
from market.api.writes import may_write
from market.domain.candle import Candle
from market.domain.series import SeriesId, SeriesIdError

# CORS and sessions are Django's business.
FOR_DJANGO = frozenset({b"origin", b"cookie"})


class ClosedCandleFront:
    """ASGI middleware for POST candle_closed."""

    def __init__(self, application: Application) -> None:
        self._application = application
        self._common_headers = CommonHeaders(application, method="OPTIONS", status=200)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Accept a candle, or pass the request on."""
        given = dict(scope["headers"])
        kind = given.get(b"content-type", b"").partition(b";")[0].strip().lower()
        common = None
        # Nothing of a stranger's body is read: Django refuses the request without it.
        is_ours = kind == b"application/json" and FOR_DJANGO.isdisjoint(given)
        if is_ours and _holds_credentials(scope, given):
            common = await self._common_headers.of(scope, given)
        if common is None:
            await self._application(scope, receive, send)
            return
        body, again = await _read(receive)
        accepted = _accepted(body)
        if accepted is None:
            await self._application(scope, again, send)
            return
        try:
            content = orjson.dumps(await ingest_closed(*accepted))
        except Exception as error:
            answer = answer_to(error, scope["path"])
            await answer.send(scope, send, *common)
            return
        await respond(send, 200, [*json_headers(content), *common], content)


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


def _holds_credentials(scope: Scope, given: Mapping[bytes, bytes]) -> bool:
    authorization = given.get(b"authorization", b"").decode("latin-1")
    return may_write(authorization, (scope.get("client") or ("",))[0], headers=given)


def _accepted(body: bytes | None) -> tuple[SeriesId, Candle] | None:
    """The candle of a good body; None for one that Django must refuse."""
    if body is None:
        return None
    try:
        return closed_candle(check_body(ClosedCandleBody, parse_json(body)))
    except (ApiError, SeriesIdError):
        return None
