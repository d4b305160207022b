"""The page cache in front of Django: answers known pages on the event loop.

The way through Django takes several thread hops, which is most of the time of a small answer. A
page that is not in the cache is read by the DRF view, which leaves it there, and so is everything
that has to be refused or fails. Both make their answers with the same functions.
"""

from __future__ import annotations

import time

from market.api import metrics
from market.api.asgi import Application, Receive, Scope, Send, respond
from market.api.candle_answer import CANDLES_VARY, accepts_gzip, answer_with
from market.api.candle_pages import candle_pages, page_sent
from market.api.candle_query import PageQuery, query_of
from market.api.common_headers import CommonHeaders
from market.api.series_states import SeriesStates, StatesReader
from market.api.shared_reads import SharedReads
from market.api.tail import after_read
from market.domain.store import SeriesState

PageKey = tuple[PageQuery, SeriesState, bool]


class CandleFront:
    """ASGI middleware for GET candles."""

    def __init__(self, application: Application, *, reader: StatesReader[SeriesState]) -> None:
        self._application = application
        # Without a query: 422.
        self._common_headers = CommonHeaders(
            application, method="GET", status=422, vary=CANDLES_VARY
        )
        self._states = SeriesStates(reader)
        self._reads: SharedReads[PageKey] = SharedReads(application)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request from the cache, or pass it on to Django."""
        started = time.perf_counter()
        query = query_of(scope["query_string"])
        given = dict(scope["headers"])
        common, state = None, None
        if query is not None:
            try:
                common = await self._common_headers.of(scope, given)
                state = await self._states.state(query.series)
            except Exception:
                # The view meets the failure again, and reports it.
                common = None
        if query is None or common is None or state is None:
            await self._application(scope, receive, send)
            return
        query = query.in_form(given.get(b"accept", b"").decode("latin-1"))
        gzip = accepts_gzip(given.get(b"accept-encoding", b"").decode("latin-1"))
        page = candle_pages().cached(query, state, gzip=gzip)
        # Waited for once only: a page that may not be cached is read by each.
        if page is None and await self._reads.has_ended((query, state, gzip)):
            page = candle_pages().cached(query, state, gzip=gzip)
        if page is None:
            await self._reads.read((query, state, gzip), scope, receive, send)
            return
        tags = given.get(b"if-none-match", b"").decode("latin-1")
        status, headers, content = answer_with(page.body(accepts_gzip=gzip), tags)
        await respond(send, status, headers + common, content)
        metrics.page_answered(query.series, page.rows, page.head, started, unchanged=status == 304)
        page_sent(query, page)
        after_read(query)
