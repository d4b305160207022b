"""The way around Django: the same bytes, and never an answer that Django would not give."""

from __future__ import annotations

import asyncio

import orjson
import psycopg2
import pytest
from django.core.asgi import get_asgi_application

from market import blocking, runtime
from market.api.fast_path import CandlePath
from market.api.front import in_front_of
from market.api.tests.asking import CANDLES, CLOSED, SERIES, ask, candle, store
from market.domain.series import SeriesId
from trade_canvas.edge.request_bounds import RequestBounds

QUERY = f"series_id={SERIES}"
SERIES_ID = SeriesId.parse(SERIES)

pytestmark = pytest.mark.usefixtures("either_store")


class Counted:
    """Django's application, counting what reaches it."""

    def __init__(self):
        self.application = get_asgi_application()
        self.requests = 0

    async def __call__(self, scope, receive, send):
        self.requests += 1
        await self.application(scope, receive, send)


class DownReader:
    """A database that can't be reached."""

    async def states(self, series):
        raise psycopg2.OperationalError("down")

    def close(self):
        pass


@pytest.fixture
def django():
    return Counted()


@pytest.fixture
async def front(django):
    made = in_front_of(RequestBounds(django))
    yield made
    made.close()


async def put(*times, close=1.5):
    await asyncio.to_thread(store, times, close=close)


@pytest.mark.parametrize("encoding", ["", "gzip", "br, gzip;q=0.5"])
async def test_second_answer_is_the_first_without_django(front, django, encoding):
    await put(*range(0, 6_000, 60))
    headers = {"accept-encoding": encoding}
    first = await ask(front, CANDLES, query=QUERY, headers=headers)
    second = await ask(front, CANDLES, query=QUERY, headers=headers)
    assert second == first
    assert first.status == 200
    assert ("content-encoding" in first.headers) == ("gzip" in encoding)
    assert orjson.loads(first.text())["server_head_time"] == 5_940
    assert django.requests == 1


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
    assert around.headers["etag"] == through.headers["etag"] == first.headers["etag"]
    assert "content-length" not in around.headers


async def test_many_at_once_get_one_answer(front, django):
    await put(*range(0, 6_000, 60))
    first = await ask(front, CANDLES, query=QUERY)
    answers = await asyncio.gather(*(ask(front, CANDLES, query=QUERY) for _ in range(100)))
    assert all(answer == first for answer in answers)
    assert django.requests == 1


@pytest.mark.parametrize(
    "change",
    [
        {"headers": {"origin": "http://localhost:5173"}},
        {"headers": {"host": "127.0.0.1"}},
        {"method": "HEAD"},
        {"method": "POST"},
        {"query": f"{QUERY}&limit=7"},
        {"query": f"{QUERY}&limit=x"},
    ],
    ids=str,
)
async def test_what_differs_from_the_known_goes_to_django(front, django, change):
    await ask(front, CANDLES, query=QUERY)
    await ask(front, CANDLES, **{"query": QUERY} | change)
    assert django.requests == 2


async def test_foreign_host_is_never_learned(front, django):
    for _ in range(2):
        answer = await ask(front, CANDLES, query=QUERY, headers={"host": "evil.example"})
        assert answer.status == 400
    assert django.requests == 2


async def test_failing_look_up_leaves_the_answer_to_django(django):
    front = CandlePath(django, reader=DownReader())
    await put(60)
    for _ in range(2):
        assert (await ask(front, CANDLES, query=QUERY)).status == 200
    assert django.requests == 2


async def test_page_that_was_dropped_from_the_cache_is_read_again(front, django):
    await put(60)
    await ask(front, CANDLES, query=QUERY)
    await blocking.run(runtime.pipeline().ingest, SERIES_ID, [])
    await put(120)
    answer = await ask(front, CANDLES, query=QUERY)
    assert orjson.loads(answer.body)["server_head_time"] == 120
    assert django.requests == 1


async def test_body_beyond_every_bound_is_refused_before_it_is_collected(front, django):
    declared = {"content-length": "8000001", "content-type": "application/json"}
    answer = await ask(front, CLOSED, method="POST", headers=declared)
    assert (answer.status, orjson.loads(answer.body)["code"]) == (413, "body_too_large")
    assert django.requests == 0
    chunks = [b" " * 1_000_000] * 9
    answer = await ask(front, CLOSED, method="POST", chunks=chunks)
    assert (answer.status, orjson.loads(answer.body)["code"]) == (413, "body_too_large")


async def test_query_that_is_no_text_is_refused_with_a_code(front):
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
