"""Drawings in front of Django: the same bytes, and never those of an earlier candle or past."""

from __future__ import annotations

import asyncio

import orjson
import pytest

from factors.domain.ledger import Rebuild
from market import blocking, runtime
from market.api.tests.asking import CountedDjango, DownReader, ask
from market.domain.series import SeriesId
from overlays.api.answer_cache import AnswerCache, answer_cache
from overlays.api.draw_front import DrawFront
from overlays.api.draw_query import query_of
from overlays.api.tests.drawn import AT_TIME, DELTA, LIVE, POLL, SERIES, ingest, walk
from overlays.domain.ledger import LedgerState
from overlays.reads import Answer

pytestmark = pytest.mark.usefixtures("either_store", "small")

QUERY = f"series_id={SERIES}"
CANDLES = walk(120)
PATHS = [(DELTA, ""), (LIVE, ""), (POLL, "&after_id=0"), (AT_TIME, "&at_time=3000")]


@pytest.fixture
def django():
    return CountedDjango()


@pytest.fixture
async def front(django):
    made = DrawFront(django)
    yield made
    made.close()


async def put(candles=CANDLES):
    await asyncio.to_thread(ingest, candles)


async def shown(front, path, more="", **options):
    """A good answer's body and headers."""
    answer = await ask(front, path, query=QUERY + more, **options)
    assert answer.status == 200, answer.body
    return orjson.loads(answer.text()), answer.headers


@pytest.mark.parametrize("encoding", ["", "gzip"])
@pytest.mark.parametrize(("path", "more"), PATHS, ids=[path for path, _ in PATHS])
async def test_cached_answer_is_the_one_of_django(front, django, path, more, encoding):
    await put()
    headers = {"accept-encoding": encoding}
    through = await ask(django, path, query=QUERY + more, headers=headers)
    assert through.status == 200
    django.passed.clear()
    first = await ask(front, path, query=QUERY + more, headers=headers)
    assert (first, django.passed) == (through, [])
    assert ("content-encoding" in first.headers) == bool(encoding)
    assert first.headers["x-series-epoch"] == "0"
    assert "x-series-generation" in first.headers
    assert ("x-draw-cursor" in first.headers) == (path != AT_TIME)


async def test_every_candle_and_revision_is_seen(front):
    await put(CANDLES[:100])
    heads = []
    for candles in ([], [CANDLES[100]], [CANDLES[101]], [CANDLES[50]._replace(volume=7.0)]):
        await put(candles or CANDLES[:100])
        for path, more in PATHS:
            await shown(front, path, more)
        frame, headers = await shown(front, LIVE)
        poll, _ = await shown(front, POLL, "&after_id=0")
        number = poll["next_cursor"]["id"]
        assert headers["x-draw-cursor"] == str(number)
        assert poll["records"][0]["draw_delta"] == frame["draw_state"]
        _, old = await shown(front, AT_TIME, "&at_time=3000")
        heads.append((frame["time"]["at_time"], old["x-series-epoch"], number))
    assert [head[:2] for head in heads] == [(6000, "0"), (6060, "0"), (6120, "0"), (6120, "1")]
    numbers = [number for *_, number in heads]
    assert numbers == sorted(set(numbers))


async def test_answer_of_a_past_time_outlives_candles_but_no_rebuild(front, django):
    await put(CANDLES[:100])
    await shown(front, AT_TIME, "&at_time=3000")
    await put([CANDLES[100]])
    django.passed.clear()
    await shown(front, AT_TIME, "&at_time=3000")
    assert django.passed == []
    rerun = runtime.pipeline().rerun
    await asyncio.to_thread(blocking.call, rerun, SeriesId.parse(SERIES), Rebuild(0))
    await shown(front, AT_TIME, "&at_time=3000")
    assert len(django.passed) == 1


async def test_rebuild_without_a_candle_is_seen(front, django):
    await put()
    _, before = await shown(front, LIVE)
    rerun = runtime.pipeline().rerun
    await asyncio.to_thread(blocking.call, rerun, SeriesId.parse(SERIES), Rebuild(None))
    _, after = await shown(front, LIVE)
    assert int(after["x-draw-cursor"]) > int(before["x-draw-cursor"])


async def test_poll_on_from_the_cursor_of_a_frame_begins_behind_it(front):
    await put(CANDLES[:100])
    _, headers = await shown(front, LIVE, "&factor_slices=false")
    more = f"&after_id={headers['x-draw-cursor']}&factor_slices=false"
    assert (await shown(front, POLL, more))[0]["records"] == []
    await put([CANDLES[100]])
    (record,) = (await shown(front, POLL, more))[0]["records"]
    assert record["to_candle_time"] == 6060


@pytest.mark.parametrize(("path", "more"), [each for each in PATHS if each[0] != DELTA])
async def test_slices_are_left_out_on_request(front, path, more):
    await put()
    whole, _ = await shown(front, path, more)
    short, _ = await shown(front, path, f"{more}&factor_slices=false")
    parts = [(whole, short)]
    if path == POLL:
        parts = list(zip(whole["records"], short["records"], strict=True))
    for all_of_it, rest in parts:
        del all_of_it["factor_slices"]
        assert all_of_it == rest
    assert whole == short


async def test_known_tag_is_answered_304_on_both_ways(front, django):
    await put()
    _, headers = await shown(front, LIVE)
    tag = {"if-none-match": headers["etag"]}
    around = await ask(front, LIVE, query=QUERY, headers=tag)
    through = await ask(django, LIVE, query=QUERY, headers=tag)
    assert around.status == through.status == 304
    assert around.body == through.body == b""
    assert through.headers.pop("content-length", "0") == "0"
    assert around.headers == through.headers


async def test_many_at_once_share_one_read(front, django):
    await put()
    answers = await asyncio.gather(*(ask(front, LIVE, query=QUERY) for _ in range(50)))
    assert answers == answers[:1] * 50
    assert len(django.passed) == 1


async def test_refusals_and_other_requests_go_to_django(front, django):
    assert (await ask(front, LIVE, query=QUERY)).status == 404
    assert (await ask(front, LIVE, query=f"{QUERY}&window_candles=0")).status == 422
    assert (await ask(front, LIVE, query=QUERY, method="POST")).status == 405
    await put()
    django.passed.clear()
    down = DrawFront(django, reader=DownReader())
    assert (await ask(down, LIVE, query=QUERY)).status == 200
    assert len(django.passed) == 1


def test_cache_keeps_to_its_bytes(db):
    cache = AnswerCache(max_bytes=50_000)
    queries = [query_of(LIVE, f"{QUERY}&window_candles={n}".encode()) for n in range(1, 100)]
    candles, drawn = answer_state()
    for query in queries:
        cache.keep(query, Answer({"text": "x" * 5_000}, candles, drawn), accepts_gzip=True)
        assert 0 < cache.size <= 50_000
    kept = [cache.cached(query, candles, drawn, accepts_gzip=True) for query in queries]
    assert kept[-1] is not None and kept[0] is None
    for query in queries:
        cache.keep(query, Answer({"text": ""}, candles, drawn))
    assert cache.size <= 50_000


def test_answer_is_compressed_once(db, monkeypatch):
    monkeypatch.setattr("overlays.api.answer_cache.gzip.compress", counted := Counted())
    candles, drawn = answer_state()
    query = query_of(LIVE, QUERY.encode())
    answer_cache().keep(query, Answer({"text": "x" * 5_000}, candles, drawn), accepts_gzip=True)
    for accepts_gzip in (True, False, True):
        assert answer_cache().cached(query, candles, drawn, accepts_gzip=accepts_gzip)
    assert counted.calls == 1


class Counted:
    """A compressor that counts its calls."""

    def __init__(self):
        self.calls = 0

    def __call__(self, content, level, *, mtime):
        self.calls += 1
        return content[:100]


def answer_state():
    candles = runtime.candle_store().state(SeriesId.parse(SERIES))
    return candles, LedgerState((60, 0, "logic"), 7, 0)
