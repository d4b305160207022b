"""Pages of closed candles as finished bodies: built once, compressed once, within a bound of bytes.

A page is looked up by series, cursor and limit. It is valid while the series' epoch and the store's
generation are the same and, unless it is full and ends behind the head, while the head is the same.
A full page remains valid when the head moves on: only the few bytes in front of its candles are
made anew. A page in the compact form has them in its headers, and its body stays as it is.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from urllib.parse import quote

import orjson

from market.api import metrics
from market.api.candle_answer import COMPACT_TYPE, Body, body_of
from market.api.candle_query import PageQuery
from market.api.gzip_body import deflated, gzipped, packed
from market.debug_events import emit
from market.domain.candle import Candle
from market.domain.freshness import clamp_cursor, is_withheld
from market.domain.history_format import encode
from market.domain.series import SeriesId
from market.domain.store import CandleStore, SeriesState
from market.runtime import candle_store
from market.singletons import once

CACHE_BYTES = 32 * 1024 * 1024

# What a page takes beside its bodies at most: key, objects, headers, tags, lock.
PAGE_OVERHEAD_BYTES = 3_000

# A body below this size does not fit fewer network packets when compressed.
MIN_GZIP_BYTES = 600

ENDING = b"}"

# What JSON has beside the candles, where they are in the compact form.
HEAD_HEADER = b"x-server-head-time"
SERIES_HEADER = b"x-series-id"


@dataclass(slots=True)
class Page:
    """A page as it was read; `compressed` is made for the first client that accepts it.

    `state` is the series' when its candles were read, or an earlier one, with the head that the
    body names. `rows` is the number of candles, `last_time` the newest one's open time. `deflated`
    are the candles as the page for another head had compressed them.
    """

    query: PageQuery
    state: SeriesState
    rows: int
    last_time: int | None
    digest: str
    candles_at: int
    plain: Body
    deflated: bytes | None = None
    compressed: Body | None = None
    deflated_at: slice = field(default_factory=lambda: slice(0))
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def head(self) -> int | None:
        """The head that the body names."""
        return self.state.head

    def is_of(self, state: SeriesState) -> bool:
        """Whether the page has the revisions of `state`, and its past of the store."""
        return self.state.epoch == state.epoch and self.state.generation == state.generation

    @property
    def is_behind_head(self) -> bool:
        """Whether the page is full, so that newer candles do not become part of it."""
        return self.query.since is not None and self.rows == self.query.limit

    @property
    def size(self) -> int:
        """All bytes that the page keeps alive."""
        parts = (self.plain.content, self.deflated, self.compressed and self.compressed.content)
        return PAGE_OVERHEAD_BYTES + sum(len(part) for part in parts if part)

    @property
    def needs_gzip(self) -> bool:
        """Whether a client that accepts gzip has to wait for compressing."""
        return self.compressed is None and len(self.plain.content) >= MIN_GZIP_BYTES

    def body(self, *, accepts_gzip: bool) -> Body:
        """The body for a client; the plain one where compressing saves nothing."""
        return (self.compressed or self.plain) if accepts_gzip else self.plain


def page_sent(query: PageQuery, page: Page) -> None:
    """Emit the debug event of an answered page."""
    if page.rows:
        emit(
            "read.http.market_candles",
            query.series,
            lambda: {
                "since": query.since,
                "limit": query.limit,
                "count": page.rows,
                "last_time": page.last_time,
                "server_head_time": page.head,
            },
        )


class CandlePages:
    """The cache of pages in front of a candle store. Every method may be called from any thread."""

    def __init__(
        self,
        store: CandleStore,
        *,
        clock: Callable[[], float] = time.time,
        max_bytes: int = CACHE_BYTES,
    ) -> None:
        self._store = store
        self._clock = clock
        self._max_bytes = max_bytes
        self._pages: OrderedDict[PageQuery, Page] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def __len__(self) -> int:
        """The number of pages that are kept."""
        return len(self._pages)

    def read(self, query: PageQuery, *, gzip: bool = False) -> Page:
        """The page as it is stored now; blocks on the store."""
        return self.page_at(query, self._store.state(query.series), gzip=gzip)

    def cached(self, query: PageQuery, state: SeriesState, *, gzip: bool = False) -> Page | None:
        """The page for a series in `state`, if it needs neither the store nor compressing."""
        now = self._clock()
        if state.head is not None and is_withheld(state.head, query.series.timeframe, now):
            return None
        page = self._find(_clamped(query, now), state)
        if page is None or (gzip and page.needs_gzip):
            return None
        metrics.QUERY_PAGES.inc(1, "cache")
        return page

    def page_at(self, query: PageQuery, state: SeriesState, *, gzip: bool = False) -> Page:
        """The page for a series in `state`, compressed with `gzip`; blocks on the store."""
        now = self._clock()
        query = _clamped(query, now)
        shown = state._replace(head=self._shown_head(query.series, state.head, now))
        page = self._find(query, shown)
        metrics.QUERY_PAGES.inc(1, "store" if page is None else "cache")
        if page is None:
            page = self._build(query, shown, now)
        if gzip:
            self._compress(page)
        return page

    def _compress(self, page: Page) -> None:
        """Make the gzip body unless it is there; takes milliseconds of processor time."""
        with page.lock:
            if not page.needs_gzip:
                return
            content = page.plain.content
            if page.query.compact:
                whole, at = packed(content), slice(0)
            else:
                part = memoryview(content)[page.candles_at : -len(ENDING)]
                middle = page.deflated or deflated(part)
                whole, at = gzipped(content, head=page.candles_at, tail=len(ENDING), middle=middle)
            with self._lock:
                before = page.size
                page.compressed = _body(page.query, page.state, page.digest, whole, gzip=True)
                page.deflated, page.deflated_at = None, at
                if self._pages.get(page.query) is page:
                    self._bytes += page.size - before
                    self._evict()

    def _shown_head(self, series: SeriesId, head: int | None, now: float) -> int | None:
        """The newest candle that may be served: a head that is still open is not it."""
        if head is None or not is_withheld(head, series.timeframe, now):
            return head
        return self._store.floor(series, series.timeframe.latest_closed(now))

    def _build(self, query: PageQuery, state: SeriesState, now: float) -> Page:
        read = self._candles(query, state.head)
        page = _page(query, state, _only_closed(read, query.series, now))
        if _lasts(read, query.series, state.head, now=now):
            with self._lock:
                self._put(page)
        return page

    def _candles(self, query: PageQuery, head: int | None) -> list[Candle]:
        """The candles up to `head`: later ones are newer than the state that is answered."""
        if head is None:
            return []
        if query.since is None:
            return self._store.newest(query.series, query.limit, up_to=head)
        candles = self._store.read_after(query.series, query.since, query.limit)
        while candles and candles[-1].candle_time > head:
            candles.pop()
        return candles

    def _find(self, query: PageQuery, state: SeriesState) -> Page | None:
        with self._lock:
            page = self._pages.get(query)
            if page is None or not page.is_of(state):
                return None
            if page.state.head != state.head:
                if not page.is_behind_head or state.is_rewound_from(page.state):
                    return None
                page = _moved(page, state)
                self._put(page)
            self._pages.move_to_end(query)
            return page

    def _put(self, page: Page) -> None:
        replaced = self._pages.pop(page.query, None)
        self._bytes += page.size - (replaced.size if replaced else 0)
        self._pages[page.query] = page
        self._evict()

    def _evict(self) -> None:
        while self._bytes > self._max_bytes:
            _, dropped = self._pages.popitem(last=False)
            self._bytes -= dropped.size


def _clamped(query: PageQuery, now: float) -> PageQuery:
    if query.since is None:
        return query
    since = clamp_cursor(query.since, query.series.timeframe, now)
    return query if since == query.since else query._replace(since=since)


def _only_closed(candles: list[Candle], series: SeriesId, now: float) -> list[Candle]:
    """Contract, coordinates 4.1: a page that ends far in the future is test data, left alone."""
    if not candles or not is_withheld(candles[-1].candle_time, series.timeframe, now):
        return candles
    closed = series.timeframe.latest_closed(now)
    return [candle for candle in candles if candle.candle_time <= closed]


def _lasts(candles: list[Candle], series: SeriesId, head: int | None, *, now: float) -> bool:
    """Whether the passing of time alone can't change what is served of the candles read."""
    if not candles or candles[-1].candle_time == head:
        return True
    return candles[-1].candle_time <= series.timeframe.latest_closed(now)


def _page(query: PageQuery, state: SeriesState, candles: list[Candle]) -> Page:
    if query.compact:
        beginning, rows, ending = b"", encode(candles), b""
    else:
        beginning, rows, ending = _beginning(query.series, state.head), _json(candles), ENDING
    # Another generation is another page, so that a client gets it with its headers.
    digest = blake2b(rows, digest_size=12, key=state.generation.encode()[:64]).hexdigest()
    return Page(
        query=query,
        state=state,
        rows=len(candles),
        last_time=candles[-1].candle_time if candles else None,
        digest=digest,
        candles_at=len(beginning),
        plain=_body(query, state, digest, b"".join((beginning, rows, ending))),
    )


def _json(candles: list[Candle]) -> bytes:
    # Unpacked here: as_object costs a call for each of thousands of candles.
    return orjson.dumps(
        [
            {
                "candle_time": candle_time,
                "open": open_,
                "high": high,
                "low": low,
                "close": close,
                "volume": volume,
            }
            for candle_time, open_, high, low, close, volume in candles
        ]
    )


def _body(
    query: PageQuery, state: SeriesState, digest: str, content: bytes, *, gzip: bool = False
) -> Body:
    tag = f'"{digest}.{state.head}.gz"' if gzip else f'"{digest}.{state.head}"'
    encoding = "gzip" if gzip else None
    if not query.compact:
        return body_of(content, tag, state=state, encoding=encoding)
    body = body_of(content, tag, state=state, encoding=encoding, content_type=COMPACT_TYPE)
    body.headers.append((SERIES_HEADER, quote(str(query.series), safe=":/").encode()))
    if state.head is not None:
        body.headers.append((HEAD_HEADER, b"%d" % state.head))
    return body


def _moved(page: Page, state: SeriesState) -> Page:
    """The same candles behind a head that moved on."""
    query, digest, compressed = page.query, page.digest, page.compressed
    if query.compact:
        packed_before = compressed and _body(query, state, digest, compressed.content, gzip=True)
        return replace(
            page,
            state=state,
            plain=_body(query, state, digest, page.plain.content),
            compressed=packed_before,
            lock=threading.Lock(),
        )
    beginning = _beginning(page.query.series, state.head)
    content = b"".join((beginning, memoryview(page.plain.content)[page.candles_at :]))
    return replace(
        page,
        state=state,
        candles_at=len(beginning),
        plain=_body(query, state, digest, content),
        deflated=compressed.content[page.deflated_at] if compressed else page.deflated,
        compressed=None,
        lock=threading.Lock(),
    )


def _beginning(series: SeriesId, head: int | None) -> bytes:
    fields = orjson.dumps({"series_id": str(series), "server_head_time": head})
    return fields[:-1] + b',"candles":'


@once
def candle_pages() -> CandlePages:
    """The pages of this process's store; a test that empties the store clears this too."""
    return CandlePages(candle_store())
