"""Pages of closed candles as finished bodies: built once, compressed once, kept within a bound.

A page is looked up by series, cursor and limit, and is good as long as the series' epoch stands
and, unless it is full and lies behind the head, as long as its head does. A full page stays good
while the head moves on: only the few bytes in front of its candles are made anew.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import lru_cache
from hashlib import blake2b

import orjson

from market.api import metrics
from market.api.gzip_body import deflated, gzipped
from market.domain.candle import Candle
from market.domain.freshness import clamp_cursor, is_withheld
from market.domain.series import SeriesId
from market.domain.store import CandleStore, SeriesState
from market.runtime import candle_store

CACHE_BYTES = 64 * 1024 * 1024

# What a page takes beside its bodies: keys, objects, tags.
PAGE_OVERHEAD_BYTES = 1_000

# A body below this size does not fit fewer network packets when compressed.
MIN_GZIP_BYTES = 600

ENDING = b"}"


@dataclass(frozen=True, slots=True)
class PageQuery:
    """A page of a series: the oldest `limit` candles after `since`, or the newest without it."""

    series: SeriesId
    since: int | None
    limit: int


@dataclass(frozen=True, slots=True)
class Body:
    """A body as it is sent, in one content coding, with its strong entity tag.

    `epoch` is the series' when its candles were read, or an earlier one; `head` is what it tells,
    and `rows` is how many candles it has.
    """

    content: bytes
    etag: str
    epoch: int
    head: int | None
    rows: int
    encoding: str | None = None


@dataclass(slots=True)
class Page:
    """A page as it was read: its plain body, and the compressed one once somebody asked."""

    epoch: int
    head: int | None
    is_behind_head: bool
    digest: str
    plain: Body
    candles_at: int
    deflated_candles: bytes | None = None
    compressed: Body | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)

    def size(self) -> int:
        """Bytes held, a compressed body of a third included."""
        return len(self.plain.content) * 4 // 3 + PAGE_OVERHEAD_BYTES

    def needs_gzip(self) -> bool:
        """Whether a client that accepts gzip waits for work that has not been done."""
        return self.compressed is None and len(self.plain.content) >= MIN_GZIP_BYTES

    def gzip(self) -> Body:
        """The gzip body, made at first use; the plain one where compressing is no gain."""
        if not self.needs_gzip():
            return self.compressed or self.plain
        with self.lock:
            if self.compressed is None:
                self.compressed = self._compress()
            return self.compressed

    def body(self, *, accepts_gzip: bool) -> Body:
        """The body for a client."""
        return self.gzip() if accepts_gzip else self.plain

    def _compress(self) -> Body:
        content = self.plain.content
        candles = memoryview(content)[self.candles_at : -len(ENDING)]
        self.deflated_candles = self.deflated_candles or deflated(candles)
        whole = gzipped(
            content, head=self.candles_at, tail=len(ENDING), middle=self.deflated_candles
        )
        tag = f'"{self.digest}.{self.head}.gz"'
        return Body(whole, tag, self.epoch, self.head, self.plain.rows, "gzip")


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

    def read(self, query: PageQuery) -> Page:
        """The page as the store stands now; blocks on the store."""
        return self.page_at(query, self._store.state(query.series))

    def cached(self, query: PageQuery, state: SeriesState) -> Page | None:
        """The page for a series in `state` if that takes no look into the store."""
        now = self._clock()
        if state.head is not None and is_withheld(state.head, query.series.timeframe, now):
            return None
        page = self._find(_clamped(query, now), state)
        if page is not None:
            metrics.QUERY_PAGES.inc(1, "cache")
        return page

    def page_at(self, query: PageQuery, state: SeriesState) -> Page:
        """The page for a series in `state`; reads the store when it is not cached."""
        now = self._clock()
        query = _clamped(query, now)
        shown = SeriesState(self._shown_head(query.series, state.head, now), state.epoch)
        page = self._find(query, shown)
        metrics.QUERY_PAGES.inc(1, "store" if page is None else "cache")
        return page or self._build(query, shown, now)

    def _shown_head(self, series: SeriesId, head: int | None, now: float) -> int | None:
        """The newest candle that may be served: a head that is still open is not it."""
        if head is None or not is_withheld(head, series.timeframe, now):
            return head
        return self._store.floor(series, series.timeframe.latest_closed(now))

    def _build(self, query: PageQuery, state: SeriesState, now: float) -> Page:
        read = self._candles(query, state.head)
        page = _page(query, state, _only_closed(read, query.series, now))
        if _lasts(read, query.series, state.head, now=now):
            self._keep(query, page)
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
            if page is None or page.epoch != state.epoch:
                return None
            if page.head != state.head:
                if not page.is_behind_head:
                    return None
                page = _moved(page, query.series, state.head)
                self._pages[query] = page
            self._pages.move_to_end(query)
            return page

    def _keep(self, query: PageQuery, page: Page) -> None:
        with self._lock:
            replaced = self._pages.pop(query, None)
            self._bytes += page.size() - (replaced.size() if replaced else 0)
            self._pages[query] = page
            while self._bytes > self._max_bytes:
                _, dropped = self._pages.popitem(last=False)
                self._bytes -= dropped.size()


def _clamped(query: PageQuery, now: float) -> PageQuery:
    if query.since is None:
        return query
    since = clamp_cursor(query.since, query.series.timeframe, now)
    return query if since == query.since else replace(query, since=since)


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
    rows = orjson.dumps(
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
    digest = blake2b(rows, digest_size=12).hexdigest()
    beginning = _beginning(query.series, state.head)
    return Page(
        epoch=state.epoch,
        head=state.head,
        is_behind_head=query.since is not None and len(candles) == query.limit,
        digest=digest,
        plain=Body(
            b"".join((beginning, rows, ENDING)),
            f'"{digest}.{state.head}"',
            state.epoch,
            state.head,
            len(candles),
        ),
        candles_at=len(beginning),
    )


def _moved(page: Page, series: SeriesId, head: int | None) -> Page:
    """The same candles behind a head that moved on."""
    beginning = _beginning(series, head)
    candles = memoryview(page.plain.content)[page.candles_at :]
    return Page(
        epoch=page.epoch,
        head=head,
        is_behind_head=True,
        digest=page.digest,
        plain=Body(
            b"".join((beginning, candles)),
            f'"{page.digest}.{head}"',
            page.epoch,
            head,
            page.plain.rows,
        ),
        candles_at=len(beginning),
        deflated_candles=page.deflated_candles,
    )


def _beginning(series: SeriesId, head: int | None) -> bytes:
    fields = orjson.dumps({"series_id": str(series), "server_head_time": head})
    return fields[:-1] + b',"candles":'


@lru_cache(maxsize=1)
def candle_pages() -> CandlePages:
    """The pages of this process's store; a test that empties the store clears this too."""
    return CandlePages(candle_store())
