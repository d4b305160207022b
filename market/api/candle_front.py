"""In front of Django: answers requests for candles on the event loop.

The way through Django takes several thread hops, which is most of the time of a small answer. The
page and its answer are made by the same functions as in the view; whatever has to be refused, or
fails, is left to Django.
"""

from __future__ import annotations

import time

from market import blocking
from market.api import metrics
from market.api.asgi import Application, Receive, Scope, Send, respond
from market.api.candle_answer import VARY, accepts_gzip, answer_with
from market.api.candle_pages import Page, candle_pages
from market.api.candle_query import PageQuery, query_of
from market.api.common_headers import CommonHeaders
from market.api.series_states import SeriesStates, StatesReader
from market.api.single_flight import SingleFlight
from market.api.tail import after_read
from market.domain.store import SeriesState


class CandleFront:
    """ASGI middleware for GET candles."""

    def __init__(self, application: Application, *, reader: StatesReader) -> None:
        self._application = application
        # Without a query: 422.
        self._common_headers = CommonHeaders(application, method="GET", status=422, vary=VARY)
        self._states = SeriesStates(reader)
        self._building: SingleFlight[tuple[PageQuery, SeriesState, bool], Page] = SingleFlight()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a good request, pass everything else to Django."""
        if not await self._answer(scope, send):
            await self._application(scope, receive, send)

    async def _answer(self, scope: Scope, send: Send) -> bool:
        started = time.perf_counter()
        query = query_of(scope["query_string"])
        if query is None:
            return False
        given = dict(scope["headers"])
        common = await self._common_headers.of(scope, given)
        if common is None:
            return False
        gzip = accepts_gzip(given.get(b"accept-encoding", b"").decode("latin-1"))
        try:
            page = await self._page(query, gzip=gzip)
        except Exception:
            return False
        tags = given.get(b"if-none-match", b"").decode("latin-1")
        status, headers, content = answer_with(page.body(accepts_gzip=gzip), tags)
        await respond(send, status, headers + common, content)
        metrics.page_answered(query.series, page.rows, page.head, started, unchanged=status == 304)
        after_read(query)
        return True

    async def _page(self, query: PageQuery, *, gzip: bool) -> Page:
        pages = candle_pages()
        state = await self._states.state(query.series)
        return pages.cached(query, state, gzip=gzip) or await self._building.result(
            (query, state, gzip), lambda: blocking.run(pages.page_at, query, state, gzip=gzip)
        )
