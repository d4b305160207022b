"""The page cache: what it saves, and that it never serves a stale page."""

from __future__ import annotations

import gc
import gzip
import sys
from collections import Counter
from types import FunctionType, ModuleType

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from market.api.candle_pages import CandlePages
from market.api.candle_query import PageQuery
from market.domain.freshness import clamp_cursor, is_withheld
from market.pipeline import Pipeline
from market.stores.memory import MemoryCandleStore
from market.tests.builders import MINUTE, ReplacedStore, candle, candles
from trade_canvas_client.history import decode


class CountingStore(MemoryCandleStore):
    """Counts the reads of candles."""

    def __init__(self):
        super().__init__()
        self.reads = Counter()

    def newest(self, series, limit, *, up_to=None):
        self.reads["newest"] += 1
        return super().newest(series, limit, up_to=up_to)

    def read_after(self, series, after, limit):
        self.reads["read_after"] += 1
        return super().read_after(series, after, limit)


def pages_over(*times, now=10_000.0, **options):
    store = CountingStore()
    Pipeline(store).ingest(MINUTE, candles(*times))
    return store, CandlePages(store, clock=lambda: now, **options)


def page(pages, since=None, limit=500, **options):
    return pages.read(PageQuery(MINUTE, since, limit), **options)


def test_second_read_takes_nothing_from_the_store():
    store, pages = pages_over(60, 120, 180)
    assert page(pages, 0) is page(pages, 0)
    assert page(pages) is page(pages)
    assert store.reads == {"read_after": 1, "newest": 1}


def test_page_of_another_generation_is_read_again():
    """The store lost its newest candle, and has another one at the same time."""
    store = ReplacedStore()
    Pipeline(store).ingest(MINUTE, candles(60, 120, 180))
    pages = CandlePages(store, clock=lambda: 10_000.0)
    queries = [PageQuery(MINUTE, *each) for each in ((None, 500), (0, 500), (60, 2), (0, 2))]
    before = [pages.read(each) for each in queries]
    store.current = MemoryCandleStore()
    Pipeline(store).ingest(MINUTE, [*candles(60, 120), candle(180, 1.9)])
    for query, old in zip(queries, before, strict=True):
        assert pages.cached(query, store.state(MINUTE)) is None
        new = pages.read(query)
        assert new.plain.etag != old.plain.etag
        assert (b"1.9" in new.plain.content) == (query.limit > 2 or query.since == 60)


def test_full_page_is_not_moved_to_a_head_that_went_backwards():
    store = ReplacedStore()
    store.current = MemoryCandleStore("restored")
    Pipeline(store).ingest(MINUTE, candles(60, 120, 180))
    pages = CandlePages(store, clock=lambda: 10_000.0)
    page(pages, 0, 2)
    store.current = MemoryCandleStore("restored")
    Pipeline(store).ingest(MINUTE, candles(60))
    assert page(pages, 0, 2).rows == 1


def test_full_page_outlives_the_head():
    store, pages = pages_over(60, 120, 180)
    first = page(pages, 0, 2)
    Pipeline(store).ingest(MINUTE, candles(240))
    second = page(pages, 0, 2)
    assert store.reads == {"read_after": 1}
    assert b'"server_head_time":240' in second.plain.content
    assert second.plain.etag != first.plain.etag


def test_full_page_is_compressed_once_whatever_the_head(monkeypatch):
    store, pages = pages_over(*range(0, 6_000, 60), now=100_000.0)
    page(pages, 0, 90, gzip=True)
    monkeypatch.setattr("market.api.candle_pages.deflated", None)
    for head in (6_000, 6_060):
        Pipeline(store).ingest(MINUTE, candles(head))
        moved = page(pages, 0, 90, gzip=True)
        assert gzip.decompress(moved.compressed.content) == moved.plain.content


def test_small_page_is_not_compressed():
    _, pages = pages_over(60)
    found = page(pages, gzip=True)
    assert found.body(accepts_gzip=True) is found.plain


def test_row_newer_than_the_state_is_left_out():
    store, pages = pages_over(60, 120)
    state = store.state(MINUTE)
    Pipeline(store).ingest(MINUTE, candles(180))
    for query in (PageQuery(MINUTE, None, 5), PageQuery(MINUTE, 0, 5)):
        content = pages.page_at(query, state).plain.content
        assert b'"server_head_time":120' in content
        assert b'"candle_time":180' not in content


@pytest.mark.parametrize("compact", [False, True], ids=["JSON", "compact"])
def test_cache_keeps_no_more_bytes_alive_than_its_bound(compact):
    times = range(0, 60_000, 60)
    store, pages = pages_over(*times, now=1e6, max_bytes=200_000)
    queries = [PageQuery(MINUTE, since, 100, compact) for since in times[:100]]
    for number, query in enumerate(queries):
        pages.read(query, gzip=number % 2 == 0)
        if number % 20 == 0:
            Pipeline(store).ingest(MINUTE, candles(60_000 + 60 * number))
    for query in queries[90:]:
        pages.read(query, gzip=True)
    assert 100_000 < alive(pages, without=store) <= 200_000


def alive(root, *, without):
    """The bytes of all data that can be reached from `root`, except through `without`."""
    seen, waiting, total = {id(without)}, [root], 0
    while waiting:
        found = waiting.pop()
        if id(found) in seen or isinstance(found, type | ModuleType | FunctionType):
            continue
        seen.add(id(found))
        total += sys.getsizeof(found)
        waiting.extend(gc.get_referents(found))
    return total


def test_cached_page_is_found_without_the_store():
    store, pages = pages_over(60, 120)
    query = PageQuery(MINUTE, 0, 500)
    assert pages.cached(query, store.state(MINUTE)) is None
    kept = pages.read(query)
    assert pages.cached(query, store.state(MINUTE)) is kept


STEP = st.one_of(
    st.tuples(st.just("write"), st.integers(0, 30), st.sampled_from([1.5, 1.75])),
    st.tuples(st.just("read"), st.one_of(st.none(), st.integers(0, 31)), st.integers(1, 6)),
    st.tuples(st.just("wait"), st.integers(0, 90), st.none()),
)


def expected(store, query, now):
    """The answer by the contract's rule, without a cache."""
    after, head = query.since, store.state(MINUTE).head
    if head is not None and is_withheld(head, MINUTE.timeframe, now):
        head = store.floor(MINUTE, MINUTE.timeframe.latest_closed(now))
    rows = store.read_range(MINUTE, 0, -1 if head is None else head, limit=1_000)
    if after is None:
        rows = rows[-query.limit :]
    else:
        after = clamp_cursor(after, MINUTE.timeframe, now)
        rows = [row for row in rows if row.candle_time > after][: query.limit]
    if rows and is_withheld(rows[-1].candle_time, MINUTE.timeframe, now):
        rows = [r for r in rows if r.candle_time <= MINUTE.timeframe.latest_closed(now)]
    return head, [row.candle_time for row in rows], [row.close for row in rows]


@given(st.lists(STEP, max_size=60))
def test_every_answer_is_the_one_without_a_cache(steps):
    store = MemoryCandleStore()
    pipeline = Pipeline(store)
    now = [900.0]
    pages = CandlePages(store, clock=lambda: now[0], max_bytes=8_000)
    for kind, first, second in steps:
        if kind == "write":
            pipeline.ingest(MINUTE, [candle(first * 60, second)])
        elif kind == "wait":
            now[0] += first
        else:
            for compact in (False, True):
                query = PageQuery(MINUTE, None if first is None else first * 60, second, compact)
                assert answered(pages.read(query)) == expected(store, query, now[0])


def answered(found):
    if found.query.compact:
        rows = decode(found.plain.content)
        head = dict(found.plain.headers).get(b"x-server-head-time")
        return head and int(head), [row[0] for row in rows], [row[4] for row in rows]
    body = orjson.loads(found.plain.content)
    rows = body["candles"]
    return (
        body["server_head_time"],
        [row["candle_time"] for row in rows],
        [row["close"] for row in rows],
    )
