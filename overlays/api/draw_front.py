"""The answer cache in front of Django: answers known drawings on the event loop.

An answer that is not in the cache is made by the view, which leaves it there, and so is everything
that has to be refused or fails; other requests for the same wait for it.
"""

from __future__ import annotations

from contextlib import suppress

from django.conf import settings

from market.api.asgi import Application, Receive, Scope, Send, respond
from market.api.candle_answer import VARY, Body, accepts_gzip, answer_with
from market.api.common_headers import CommonHeaders
from market.api.series_states import SeriesStates, StatesReader
from market.api.shared_reads import SharedReads
from market.runtime import candle_store
from market.stores.postgres_states import connection_parameters
from overlays.api.answer_cache import answer_cache
from overlays.api.draw_query import AT_TIME, DELTA, LIVE, POLL, DrawQuery, query_of
from overlays.runtime import overlay_ledger
from overlays.stores.drawn_states import DrawnState, MemoryDrawnStates, PostgresDrawnStates

PATHS = frozenset({DELTA, LIVE, AT_TIME, POLL})

AnswerKey = tuple[DrawQuery, DrawnState, bool]


class DrawFront:
    """ASGI middleware for the GET requests about drawings."""

    def __init__(
        self, application: Application, *, reader: StatesReader[DrawnState] | None = None
    ) -> None:
        self._application = application
        # Without a query: 422.
        self._common_headers = CommonHeaders(application, method="GET", status=422, vary=VARY)
        self._reader = reader or _reader()
        self._states = SeriesStates(self._reader)
        self._reads: SharedReads[AnswerKey] = SharedReads(application)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request from the cache, or pass it on to Django."""
        path = scope.get("path", "")
        if path not in PATHS or scope.get("method") != "GET":
            await self._application(scope, receive, send)
            return
        query = query_of(path, scope["query_string"])
        given = dict(scope["headers"])
        common, state = None, None
        if query is not None:
            # A failure here is met again, and reported, by the view.
            with suppress(Exception):
                common = await self._common_headers.of(scope, given)
                state = await self._states.state(query.series)
        if query is None or common is None or state is None:
            await self._application(scope, receive, send)
            return
        gzip = accepts_gzip(given.get(b"accept-encoding", b"").decode("latin-1"))
        key = (query, state, gzip)
        body = await self._cached(key)
        if body is None:
            await self._reads.read(key, scope, receive, send)
            return
        tags = given.get(b"if-none-match", b"").decode("latin-1")
        status, headers, content = answer_with(body, tags)
        await respond(send, status, headers + common, content)

    def close(self) -> None:
        """Free the connection for states; to be called on the event loop."""
        self._reader.close()

    async def _cached(self, key: AnswerKey) -> Body | None:
        """The body if it is in the cache, or as soon as a read under way has put it there."""
        query, state, gzip = key
        body = answer_cache().cached(query, *state, accepts_gzip=gzip)
        if body is None and await self._reads.has_ended(key):
            body = answer_cache().cached(query, *state, accepts_gzip=gzip)
        return body


def _reader() -> StatesReader[DrawnState]:
    if not settings.SWITCHES.enable_pg_store:
        return MemoryDrawnStates(candle_store(), overlay_ledger())
    return PostgresDrawnStates(connection_parameters())
