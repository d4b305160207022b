"""GET /api/alerts/stream: alerts as they are committed, server-sent, from any place on."""

from __future__ import annotations

import re
import time
from collections.abc import AsyncGenerator, Mapping
from typing import Annotated

import orjson
from django.conf import settings
from django.core.exceptions import SuspiciousOperation
from django.db import DatabaseError
from django.http import QueryDict, StreamingHttpResponse
from drf_spectacular.utils import extend_schema
from pydantic import BaseModel, Field
from rest_framework.request import Request

from factors.alerts import metrics, outbox
from factors.alerts.feed import Follower, feed
from factors.alerts.outbox import Mark, Streamed
from factors.alerts.rules import matches
from market import blocking
from market.api.asgi import Application, Receive, Scope, Send, header_list
from market.api.callers import is_allowed_origin
from market.api.checks import check_query
from market.api.common_headers import CommonHeaders
from market.api.endpoint import Endpoint, require
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
from market.api.schema import SWITCHED_OFF, errors_of, parameters_of
from market.api.writes import holds_token, is_admin, is_unguarded, session_is_admins

PATH = "/api/alerts/stream"
MAX_STREAMS = 200
HEARTBEAT_S = 15.0
PAGE = 500
MOST_CAUGHT_UP = 10_000
EVENT_ID = re.compile(r"(.{1,40})-([0-9]{1,18})")

places = StreamPlaces(MAX_STREAMS)


class AlertStreamQuery(BaseModel):
    """Which alerts to send, and after which to go on."""

    series_id: Annotated[
        str, Field(max_length=200, description="a series id, * for any text in it")
    ] = "*"
    kinds: Annotated[str, Field(max_length=1000, description="divided by commas; absent: all")] = ""
    rule: Annotated[int | None, Field(ge=1, description="the number of a rule")] = None
    last_event_id: Annotated[
        str,
        Field(max_length=64, description="the id after which to go on; the header comes first"),
    ] = ""
    max_events: Annotated[
        int | None, Field(ge=1, le=1000, description="end after so many alerts")
    ] = None

    def wants(self, alert: Streamed) -> bool:
        """Whether an alert was asked for."""
        return (
            (self.rule is None or alert.rule_id == self.rule)
            and (not self.kinds or alert.kind in self.kinds.split(","))
            and matches(self.series_id, alert.series)
        )


class AlertEvent(BaseModel):
    """The data of an event `alert`."""

    id: str
    kind: str
    series_id: str
    candle_time: int
    event_key: str
    created_at: float
    rule: dict[str, int | str]
    data: dict[str, object]


class AlertStream(Endpoint):
    """The stream as Django serves it; AlertStreamFront answers good requests before it."""

    @extend_schema(
        operation_id="alerts_stream",
        summary="Follow alerts",
        description=(
            "Server-sent events: `alert` for each alert, `reset` when the place to go on from is "
            "not known any more, and a comment every 15 seconds. With the ingest token or a "
            "session of the admin all alerts of rules with a stream, otherwise those of public "
            "rules. The stream ends after 15 minutes: the browser opens the next one, and goes on "
            "where it was."
        ),
        parameters=parameters_of(AlertStreamQuery),
        responses={(200, "text/event-stream"): AlertEvent}
        | errors_of(SWITCHED_OFF, {503: (ErrorCode.TOO_MANY_STREAMS, ErrorCode.STORE_UNAVAILABLE)}),
    )
    def get(self, request: Request) -> StreamingHttpResponse:
        """The stream."""
        require(settings.SWITCHES.enable_alerts)
        asked = _checked(self.request.query_params, request.headers)
        authorization = request.headers.get("Authorization", "")
        sees_all = holds_token(authorization) or is_admin(request._request)
        return StreamingHttpResponse(stream(asked, sees_all=sees_all), headers=HEADERS)


class AlertStreamFront:
    """ASGI middleware for GET /api/alerts/stream: ends a stream at once when its request ends."""

    def __init__(self, application: Application) -> None:
        self._application = application
        self._common_headers = CommonHeaders(application, method="POST", status=405)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Stream to a good request, pass everything else to Django."""
        if (scope.get("method"), scope.get("path")) != ("GET", PATH):
            await self._application(scope, receive, send)
            return
        given = dict(scope["headers"])
        try:
            query = QueryDict(scope["query_string"].decode())
            last = given.get(b"last-event-id", b"").decode()
            asked = _checked(query, {"Last-Event-ID": last} if last else {})
            sees_all = await _sees_all(scope, given)
            common = await self._common_headers.of(scope, given)
        except (ApiError, SuspiciousOperation, ValueError, DatabaseError, TimeoutError):
            common = None
        if common is None:
            await self._application(scope, receive, send)
            return
        headers = header_list(HEADERS) + common
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send_until_gone(stream(asked, sees_all=sees_all), receive, send)


async def _sees_all(scope: Scope, given: Mapping[bytes, bytes]) -> bool:
    """Whether a request may see the alerts of all rules.

    A page of another site has an admin's cookies with it, and is not the admin.
    """
    address = (scope.get("client") or ("",))[0]
    origin = given.get(b"origin")
    host = given.get(b"host", b"").decode("latin-1")
    if holds_token(given.get(b"authorization", b"").decode("latin-1")):
        return True
    if origin is not None and not is_allowed_origin(origin.decode("latin-1"), host):
        return False
    return is_unguarded(address, headers=given) or await session_is_admins(scope)


def _checked(parameters: QueryDict, headers: Mapping[str, str]) -> AlertStreamQuery:
    """The checked query; raises ApiError, also when too many streams are open."""
    asked = check_query(AlertStreamQuery, parameters)
    places.require_free()
    last = headers.get("Last-Event-ID", "")
    return asked.model_copy(update={"last_event_id": last}) if last else asked


async def stream(asked: AlertStreamQuery, *, sees_all: bool) -> AsyncGenerator[bytes]:
    """The events of a stream until its end; closing it ends it at once."""
    deadline = time.monotonic() + MAX_STREAM_S
    left = asked.max_events
    with places.take(), metrics.watching():
        async with feed().followed() as follower:
            yield ping()
            async for alert in _alerts(asked, follower, deadline, sees_all=sees_all):
                if not isinstance(alert, Streamed):
                    yield alert
                elif (sees_all or alert.is_public) and asked.wants(alert):
                    yield event("alert", alert.body.encode(), number=alert.event_id)
                    left = None if left is None else left - 1
                    if left == 0:
                        return


async def _alerts(
    asked: AlertStreamQuery, follower: Follower, deadline: float, *, sees_all: bool
) -> AsyncGenerator[Streamed | bytes]:
    """First what came after the last event of the client, then what comes; comments between."""
    end = follower.since
    if asked.last_event_id:
        after = _mark_of(asked.last_event_id)
        if after is None or after.generation != end.generation or after.seq > end.seq:
            yield _reset("unknown_event_id")
        else:
            async for alert in _missed(after.seq, end.seq, sees_all=sees_all):
                yield alert
    while time.monotonic() < deadline and not follower.is_behind:
        alerts = await follower.take(HEARTBEAT_S)
        for alert in alerts:
            yield alert
        if not alerts:
            yield ping()


async def _missed(after: int, end: int, *, sees_all: bool) -> AsyncGenerator[Streamed | bytes]:
    """The alerts after one number up to another, unless they are too many."""
    for _ in range(MOST_CAUGHT_UP // PAGE):
        alerts = await blocking.run(outbox.streamed_after, after, PAGE, is_public=not sees_all)
        for alert in alerts:
            if alert.seq > end:
                return
            yield alert
        if len(alerts) < PAGE:
            return
        after = alerts[-1].seq
    yield _reset("too_far_behind")


def _mark_of(text: str) -> Mark | None:
    found = EVENT_ID.fullmatch(text)
    return None if found is None else Mark(found[1], int(found[2]))


def _reset(reason: str) -> bytes:
    return event("reset", orjson.dumps({"reason": reason}))
