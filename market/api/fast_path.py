"""In front of Django: answers what has been asked before without the way through Django.

Django's handler costs several thread hops a request, which is most of the time of a small answer.
It stays the judge: a request is answered here only if Django answered one with the same query and
Host with 200, and with the headers that Django's middleware put on that answer.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import OrderedDict
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from typing import NamedTuple

from market import blocking
from market.api import metrics
from market.api.asgi import (
    Application,
    HeaderList,
    Message,
    Receive,
    Scope,
    Send,
    respond,
)
from market.api.candle_pages import Body, Page, PageQuery, candle_pages
from market.api.conditional import EPOCH_HEADER, accepts_gzip, headers_of, is_unchanged
from market.api.handover import SCOPE_KEY, Handover
from market.api.series_states import SeriesStates, StatesReader
from market.api.tail import after_read
from market.domain.store import SeriesState

CANDLES_PATH = "/api/market/candles"
MAX_KNOWN_QUERIES = 4096

# What a page brings itself; everything else on Django's answer is the same for every page.
OWN_HEADERS = frozenset(
    name.encode()
    for name in (
        "content-length",
        "content-type",
        "content-encoding",
        "etag",
        "cache-control",
        "vary",
        EPOCH_HEADER.lower(),
    )
)

# A 304 has no body: it keeps the headers that would go with one, but not those of its bytes.
OF_A_BODY = frozenset({b"content-length", b"content-encoding", b"content-type"})

QueryKey = tuple[bytes, bytes]


class Asked(NamedTuple):
    """A request for candles, as far as its answer depends on it."""

    key: QueryKey
    accept_encoding: bytes
    if_none_match: bytes


@dataclass(slots=True)
class KnownQuery:
    """A query that Django has accepted, and the headers it put on its answer.

    `prepared` are the bodies that were sent last, with their headers, by content coding.
    """

    page: PageQuery
    headers: HeaderList
    vary: bytes
    prepared: dict[str | None, tuple[Body, HeaderList]] = field(default_factory=dict)

    def headers_of(self, body: Body) -> HeaderList:
        """The headers of a body, made once for it."""
        ready = self.prepared.get(body.encoding)
        if ready is None or ready[0] is not body:
            ready = self.prepared[body.encoding] = (body, self._headers(body))
        return ready[1]

    def _headers(self, body: Body) -> HeaderList:
        own = {"Content-Type": "application/json", **headers_of(body)}
        own["Content-Length"] = str(len(body.content))
        own["Vary"] = self.vary.decode("latin-1")
        return [(name.lower().encode(), value.encode()) for name, value in own.items()] + (
            self.headers
        )


class CandlePath:
    """ASGI middleware for GET candles; also streams what a view hands over."""

    def __init__(self, application: Application, *, reader: StatesReader) -> None:
        self._application = application
        self._known: OrderedDict[QueryKey, KnownQuery] = OrderedDict()
        self._building: dict[tuple[PageQuery, SeriesState], asyncio.Task[Page]] = {}
        self._states = SeriesStates(reader)
        self._reader = reader

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a known query, pass everything else to Django."""
        if scope["type"] != "http":
            await self._application(scope, receive, send)
            return
        asked = _asked(scope)
        known = self._known.get(asked.key) if asked else None
        if asked is None or known is None or not await self._answer(known, asked, send):
            await self._pass_on(scope, receive, send)

    def close(self) -> None:
        """Free the connection for look-ups; to be called on the event loop."""
        self._reader.close()

    async def _answer(self, known: KnownQuery, asked: Asked, send: Send) -> bool:
        """Whether the answer was given; Django words what goes wrong."""
        started = time.perf_counter()
        gzip = accepts_gzip(asked.accept_encoding.decode("latin-1"))
        try:
            body = await self._body(known.page, gzip=gzip)
        except Exception:
            return False
        headers = known.headers_of(body)
        tags = asked.if_none_match.decode("latin-1")
        unchanged = bool(tags) and is_unchanged(tags, body.etag)
        if unchanged:
            await respond(send, 304, [one for one in headers if one[0] not in OF_A_BODY])
        else:
            await respond(send, 200, headers, body.content)
        metrics.page_answered(known.page.series, body.rows, body.head, started, unchanged=unchanged)
        after_read(known.page)
        return True

    async def _body(self, query: PageQuery, *, gzip: bool) -> Body:
        state = await self._states.state(query.series)
        page = candle_pages().cached(query, state) or await self._build(query, state)
        if gzip and page.needs_gzip():
            return await blocking.run(page.gzip)
        return page.body(accepts_gzip=gzip)

    async def _build(self, query: PageQuery, state: SeriesState) -> Page:
        """The page from the store; those who ask for the same at once share one read."""
        key = (query, state)
        building = self._building.get(key)
        if building is None:
            work = blocking.run(candle_pages().page_at, query, state)
            building = self._building[key] = asyncio.create_task(work)
            building.add_done_callback(lambda done: self._built(key, done))
        return await asyncio.shield(building)

    def _built(self, key: tuple[PageQuery, SeriesState], done: asyncio.Task[Page]) -> None:
        self._building.pop(key, None)
        if not done.cancelled():
            # Marks an error as seen when everybody who waited for it is gone.
            done.exception()

    async def _pass_on(self, scope: Scope, receive: Receive, send: Send) -> None:
        handover = Handover()
        answer = _Answer(handover, send)
        await self._application({**scope, SCOPE_KEY: handover}, receive, answer.send)
        asked = _asked(scope)
        if handover.page is not None and answer.status == 200 and asked is not None:
            self._learn(asked.key, handover.page, answer.headers)
        if handover.stream is not None:
            await _stream(handover.stream, receive, send)

    def _learn(self, key: QueryKey, page: PageQuery, headers: HeaderList) -> None:
        kept = [(name, value) for name, value in headers if name not in OWN_HEADERS]
        vary = dict(headers).get(b"vary", b"Accept-Encoding")
        self._known[key] = KnownQuery(page, kept, vary)
        if len(self._known) > MAX_KNOWN_QUERIES:
            self._known.popitem(last=False)


def _asked(scope: Scope) -> Asked | None:
    """What a GET of candles asks for; None for other requests, and for other origins' pages.

    CORS is Django's business, and so is the Host: it refuses those that are not ours.
    """
    if scope["path"] != CANDLES_PATH or scope["method"] != "GET":
        return None
    host = accept_encoding = if_none_match = b""
    for name, value in scope["headers"]:
        if name == b"host":
            host = value
        elif name == b"accept-encoding":
            accept_encoding = value
        elif name == b"if-none-match":
            if_none_match = value
        elif name == b"origin":
            return None
    return Asked((scope["query_string"], host), accept_encoding, if_none_match)


class _Answer:
    """Passes Django's answer on, remembers its beginning, and leaves a handed over body out."""

    def __init__(self, handover: Handover, send: Send) -> None:
        self._handover = handover
        self._send = send
        self.status = 0
        self.headers: HeaderList = []

    async def send(self, message: Message) -> None:
        """Pass one message on."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = [(name.lower(), value) for name, value in message["headers"]]
            if self._handover.stream is not None:
                kept = [one for one in self.headers if one[0] != b"content-length"]
                message = {**message, "headers": kept}
        elif self._handover.stream is not None:
            return
        await self._send(message)


async def _stream(events: AsyncGenerator[bytes], receive: Receive, send: Send) -> None:
    """Send a body as it comes, until it ends or the client is gone."""
    sending = asyncio.create_task(_send_all(events, send))
    gone = asyncio.create_task(_disconnected(receive))
    try:
        await asyncio.wait({sending, gone}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in (sending, gone):
            task.cancel()
        await asyncio.gather(sending, gone, return_exceptions=True)


async def _send_all(events: AsyncGenerator[bytes], send: Send) -> None:
    async with contextlib.aclosing(events) as each:
        async for event in each:
            await send({"type": "http.response.body", "body": event, "more_body": True})
    await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
