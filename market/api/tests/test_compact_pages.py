"""Pages of candles in the compact form: the same candles as JSON has, for those who ask for it."""

from __future__ import annotations

import asyncio
import gzip
from urllib.parse import quote, urlencode

import orjson
import pytest

from market import runtime
from market.api.candle_answer import COMPACT_TYPE, prefers_compact
from market.api.candle_pages import CandlePages, candle_pages
from market.api.candle_query import PageQuery
from market.api.front import Front
from market.api.tests.asking import CANDLES, SERIES, CountedDjango, ask, store
from market.domain.series import SeriesId
from market.pipeline import Pipeline
from market.stores.memory import MemoryCandleStore
from market.tests.builders import MINUTE, candle, candles
from trade_canvas_client.history import decode

pytestmark = pytest.mark.usefixtures("either_store")

COMPACT = {"accept": f"{COMPACT_TYPE}, application/json;q=0.9"}
SPOT = "binance:spot:币安人生/USDT:1m"


@pytest.fixture(autouse=True)
def switched_on(either_store, switch):
    switch(enable_compact_history=True)


@pytest.fixture
def django():
    return CountedDjango()


@pytest.fixture
async def front(django):
    made = Front(django)
    yield made
    made.close()


def get(api, *, headers=COMPACT, series_id=SERIES, **query):
    return api.http.get(CANDLES, {"series_id": series_id, **query}, headers=headers)


def rows(response):
    """The candles of a compact answer."""
    assert response.status_code == 200, response.content
    assert response["Content-Type"] == COMPACT_TYPE
    packed = response.headers.get("Content-Encoding") == "gzip"
    return decode(gzip.decompress(response.content) if packed else response.content)


@pytest.mark.parametrize(
    "query",
    [{}, {"limit": 3}, {"since": 60, "limit": 4}, {"since": 540}, {"since": 10**12}],
    ids=str,
)
@pytest.mark.parametrize("series_id", [SERIES, SPOT], ids=["plain", "not latin"])
def test_compact_page_has_what_json_has(api, query, series_id):
    for position, close in enumerate((0.1 + 0.2, 1e-300, 1 / 3, 123456789.125, 1.5)):
        store([60 + 120 * position], series=series_id, close=close)
    plain = api.get(CANDLES, series_id=series_id, **query)
    compact = get(api, series_id=series_id, **query)
    body = plain.json()
    assert rows(compact) == [tuple(each.values()) for each in body["candles"]]
    assert compact["X-Series-Id"] == quote(body["series_id"], safe=":/")
    assert compact["X-Server-Head-Time"] == str(body["server_head_time"])
    for name in ("X-Series-Epoch", "X-Series-Generation", "Cache-Control", "Vary"):
        assert compact[name] == plain[name]
    assert compact["ETag"] != plain["ETag"]
    assert {"X-Series-Id", "X-Server-Head-Time"}.isdisjoint(plain.headers)


def test_empty_series_is_a_chunk_without_candles(api):
    response = get(api)
    assert rows(response) == []
    assert "X-Server-Head-Time" not in response.headers


@pytest.mark.parametrize(
    ("accept", "is_compact"),
    [
        ("", False),
        ("*/*", False),
        ("application/*", False),
        ("application/json", False),
        (COMPACT_TYPE, True),
        (COMPACT_TYPE.upper(), True),
        (f"application/json;q=0.9, {COMPACT_TYPE}", True),
        (f"{COMPACT_TYPE}; q=0.5, */*", True),
        (f"{COMPACT_TYPE};q=0.5, application/json", False),
        (f"{COMPACT_TYPE};q=0", False),
        (f"{COMPACT_TYPE};q=no", False),
        (f"{COMPACT_TYPE}2", False),
        (f"{COMPACT_TYPE}, {'x' * 300}", False),
    ],
)
def test_json_stays_the_default(api, accept, is_compact):
    store([60])
    response = get(api, headers={"accept": accept})
    assert prefers_compact(accept) == is_compact
    assert response["Content-Type"] == (COMPACT_TYPE if is_compact else "application/json")


def test_answers_depend_on_accept_by_their_headers(api):
    store([60])
    for headers in ({}, COMPACT):
        varies = get(api, headers=headers)["Vary"].split(", ")
        assert {"Accept", "Accept-Encoding"} <= set(varies)


def test_errors_are_json(api):
    response = get(api, series_id="abc")
    assert (response.status_code, response.json()["code"]) == (400, "invalid_series_id")


def test_switched_off_the_answer_is_json_byte_for_byte(api, switch):
    store([60, 120])
    switch(enable_compact_history=False)
    assert get(api).content == api.get(CANDLES, series_id=SERIES).content
    assert get(api).headers == api.get(CANDLES, series_id=SERIES).headers


def test_known_tag_is_answered_304_until_something_changes(api):
    store([60, 120])
    first = get(api, since=0, limit=2)
    tag = COMPACT | {"If-None-Match": first["ETag"]}
    same = get(api, since=0, limit=2, headers=tag)
    assert (same.status_code, same.content) == (304, b"")
    assert (same["ETag"], same["Vary"]) == (first["ETag"], first["Vary"])
    for times, close in (([180], 1.5), ([60], 1.75)):
        store(times, close=close)
        changed = get(api, since=0, limit=2, headers=tag)
        assert changed["X-Server-Head-Time"] == "180"
        assert changed["ETag"] not in tag.values()
        tag = COMPACT | {"If-None-Match": changed["ETag"]}
    assert rows(changed)[0][4] == 1.75


def test_gzip_body_is_the_plain_body_and_far_below_json(api):
    store(range(0, 60_000, 60))
    packed = get(api, headers=COMPACT | {"accept-encoding": "gzip"}, limit=1000)
    json = get(api, headers={"accept-encoding": "gzip"}, limit=1000)
    assert packed["Content-Encoding"] == "gzip"
    assert gzip.decompress(packed.content) == get(api, limit=1000).content
    assert packed["ETag"] != get(api, limit=1000)["ETag"]
    assert len(packed.content) < len(json.content) / 2


@pytest.mark.parametrize("encoding", ["", "gzip"])
async def test_cached_answer_is_the_one_of_django(front, django, encoding):
    await asyncio.to_thread(store, range(0, 6_000, 60))
    headers = COMPACT | {"accept-encoding": encoding, "origin": "http://localhost:5173"}
    query = urlencode({"series_id": SERIES})
    through = await ask(front, CANDLES, query=query, headers=headers)
    json = await ask(front, CANDLES, query=query, headers={"accept-encoding": encoding})
    assert len(django.passed) == 2
    around = await ask(front, CANDLES, query=query, headers=headers)
    assert around == through
    assert around.headers["content-type"] == COMPACT_TYPE
    assert len(decode(around.text())) == len(orjson.loads(json.text())["candles"]) == 100
    exposed = around.headers["access-control-expose-headers"].lower()
    assert "x-server-head-time" in exposed
    tag = headers | {"if-none-match": around.headers["etag"]}
    unchanged = await ask(front, CANDLES, query=query, headers=tag)
    assert (unchanged.status, unchanged.body) == (304, b"")
    assert len(django.passed) == len(candle_pages()) == 2


def test_full_page_is_encoded_once_whatever_the_head(monkeypatch):
    kept = MemoryCandleStore()
    Pipeline(kept).ingest(MINUTE, candles(*range(0, 60_000, 60)))
    pages = CandlePages(kept, clock=lambda: 100_000.0)
    query = PageQuery(MINUTE, 0, 900, compact=True)
    first = pages.read(query, gzip=True)
    monkeypatch.setattr("market.api.candle_pages.packed", None)
    monkeypatch.setattr("market.api.candle_pages.encode", None)
    for head in (60_000, 60_060):
        Pipeline(kept).ingest(MINUTE, [candle(head)])
        moved = pages.read(query, gzip=True)
        assert moved.body(accepts_gzip=True).content is first.body(accepts_gzip=True).content
        assert moved.body(accepts_gzip=True).etag != first.body(accepts_gzip=True).etag
        assert (b"x-server-head-time", b"%d" % head) in moved.compressed.headers


def test_the_python_client_of_chunks_reads_a_page(api):
    store(range(0, 600, 60))
    stored = runtime.candle_store().read_after(SeriesId.parse(SERIES), -1, 100)
    assert rows(get(api)) == stored


def test_schema_has_both_forms(api):
    schema = api.get("/api/schema/", format="json").json()
    content = schema["paths"][CANDLES]["get"]["responses"]["200"]["content"]
    assert list(content) == ["application/json", COMPACT_TYPE]
