"""Candles in front of Django: the same bytes, and never an answer that Django would not give."""

from __future__ import annotations

import asyncio

import orjson
import pytest

from market.api.candle_pages import candle_pages
from market.api.front import Front
from market.api.tests.asking import (
    CANDLES,
    CLOSED,
    SERIES,
    CountedDjango,
    DownReader,
    ask,
    candle,
    store,
)
from trade_canvas.edge.request_bounds import RequestBounds

QUERY = f"series_id={SERIES}"

pytestmark = pytest.mark.usefixtures("either_store")


@pytest.fixture
def django():
    return CountedDjango()


@pytest.fixture
async def front(django):
    made = Front(RequestBounds(django))
    yield made
    made.close()


async def put(*times, close=1.5):
    await asyncio.to_thread(store, times, close=close)


@pytest.mark.parametrize("encoding", ["", "gzip", "br, gzip;q=0.5"])
@pytest.mark.parametrize("origin", [{}, {"origin": "http://localhost:5173"}], ids=str)
async def test_cached_answer_is_the_one_of_django(front, django, encoding, origin):
    await put(*range(0, 6_000, 60))
    headers = {"accept-encoding": encoding} | origin
    through = await ask(front, CANDLES, query=QUERY, headers=headers)
    assert len(django.passed) == 1
    django.passed.clear()
    for _ in range(2):
        assert await ask(front, CANDLES, query=QUERY, headers=headers) == through
    assert through.status == 200
    assert ("content-encoding" in through.headers) == ("gzip" in encoding)
    assert ("access-control-allow-origin" in through.headers) == bool(origin)
    assert orjson.loads(through.text())["server_head_time"] == 5_940
    assert django.passed == []


async def test_unknown_parameters_are_not_part_of_the_key(front, django):
    await put(60)
    answers = [
        await ask(front, CANDLES, query=query)
        for query in (QUERY, f"{QUERY}&_=1", f"limit=500&{QUERY}&_=2", f"limit=7&{QUERY}&limit=500")
    ]
    assert answers == answers[:1] * 4
    assert len(candle_pages()) == 1


async def test_every_change_of_the_store_is_seen(front):
    await put(60, 180)
    query = f"{QUERY}&since=0&limit=2"
    seen = []
    for times, close in (((), 1.5), ((240,), 1.5), ((120,), 1.5), ((60,), 1.75)):
        await put(*times, close=close)
        answer = orjson.loads((await ask(front, CANDLES, query=query)).body)
        rows = [(row["candle_time"], row["close"]) for row in answer["candles"]]
        seen.append((answer["server_head_time"], rows))
    assert seen == [
        (180, [(60, 1.5), (180, 1.5)]),
        (240, [(60, 1.5), (180, 1.5)]),
        (240, [(60, 1.5), (120, 1.5)]),
        (240, [(60, 1.75), (120, 1.5)]),
    ]


async def test_known_tag_is_answered_304_on_both_ways(front, django):
    await put(60)
    first = await ask(front, CANDLES, query=QUERY)
    tag = {"if-none-match": first.headers["etag"]}
    around = await ask(front, CANDLES, query=QUERY, headers=tag)
    through = await ask(django, CANDLES, query=QUERY, headers=tag)
    assert around.status == through.status == 304
    assert around.body == through.body == b""
    assert through.headers.pop("content-length", "0") == "0"
    assert around.headers == through.headers
    assert around.headers["etag"] == first.headers["etag"]


async def test_many_at_once_share_one_read(front, django, monkeypatch):
    await put(*range(0, 6_000, 60))
    reads = []
    pages = candle_pages()
    read = pages.page_at
    monkeypatch.setattr(
        pages, "page_at", lambda *args, **options: reads.append(1) or read(*args, **options)
    )
    answers = await asyncio.gather(*(ask(front, CANDLES, query=QUERY) for _ in range(100)))
    assert answers == answers[:1] * 100
    assert len(reads) == len(django.asked) == len(django.passed) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"headers": {"host": "evil.example"}},
        {"headers": {"host": "localhost" * 100}},
        {"method": "HEAD"},
        {"method": "POST"},
        {"query": f"{QUERY}&limit=x"},
        {"query": "series_id=abc"},
        {"query": "&".join(f"a{number}=1" for number in range(2_000))},
    ],
    ids=["host", "long host", "HEAD", "POST", "limit", "series", "parameters"],
)
async def test_what_has_to_be_refused_goes_to_django(front, django, change):
    await ask(front, CANDLES, query=QUERY)
    django.passed.clear()
    for _ in range(2):
        await ask(front, CANDLES, **{"query": QUERY} | change)
    assert len(django.passed) == 2


async def test_django_is_asked_once_per_host(front, django):
    for host in ("localhost", "127.0.0.1", "evil.example"):
        for _ in range(2):
            answer = await ask(front, CANDLES, query=QUERY, headers={"host": host})
            assert answer.status == (400 if host == "evil.example" else 200)
    assert len(django.asked) == 3


async def test_busy_django_is_asked_again(front, django):
    django.status = 503
    assert (await ask(front, CANDLES, query=QUERY)).status == 503
    django.status = None
    assert (await ask(front, CANDLES, query=QUERY)).status == 200
    assert (len(django.asked), len(django.passed)) == (2, 2)


async def test_failing_look_up_leaves_the_answer_to_django(django):
    front = Front(django, reader=DownReader())
    await put(60)
    for _ in range(2):
        assert (await ask(front, CANDLES, query=QUERY)).status == 200
    assert len(django.passed) == 2


async def test_body_beyond_every_bound_is_refused_before_it_is_collected(front, django):
    declared = {"content-length": "8000001", "content-type": "application/json"}
    answer = await ask(front, CLOSED, method="POST", headers=declared)
    assert (answer.status, orjson.loads(answer.body)["code"]) == (413, "body_too_large")
    assert django.passed == []
    chunks = [b" " * 1_000_000] * 9
    answer = await ask(front, CLOSED, method="POST", chunks=chunks)
    assert (answer.status, orjson.loads(answer.body)["code"]) == (413, "body_too_large")


async def test_query_that_is_not_utf_8_is_refused_with_a_code(front):
    answer = await ask(front, CANDLES, query=b"series_id=\xff\xfe")
    assert (answer.status, orjson.loads(answer.body)["code"]) == (400, "bad_request")


async def test_write_through_the_front_is_read_by_the_next_request(front, api):
    headers = {"authorization": f"Bearer {api.token}", "content-type": "application/json"}
    body = orjson.dumps({"series_id": SERIES, "candle": candle(60)})
    headers["content-length"] = str(len(body))
    written = await ask(front, CLOSED, method="POST", headers=headers, body=body)
    assert written.status == 200
    answer = await ask(front, CANDLES, query=QUERY)
    assert orjson.loads(answer.body)["server_head_time"] == 60
