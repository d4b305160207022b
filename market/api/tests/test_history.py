"""Compact history: its index and its chunks, on both stores."""

from __future__ import annotations

import re
from urllib.parse import parse_qsl

import pytest

from market import runtime
from market.api import history_chunks
from market.api.tests.asking import SERIES, refusal, store
from market.domain.series import SeriesId
from trade_canvas_client.history import candles as all_candles
from trade_canvas_client.history import decode

HISTORY = "/api/market/history"

pytestmark = pytest.mark.usefixtures("either_store")


@pytest.fixture(autouse=True)
def switched_on(either_store, switch, monkeypatch):
    """Chunks of eight candles."""
    switch(enable_compact_history=True)
    monkeypatch.setattr(history_chunks, "CELL_CANDLES", 8)
    monkeypatch.setattr(history_chunks, "COMPUTED_CELLS", 4)


SPAN = 60 * 8


@pytest.fixture
def reads(monkeypatch):
    """The ranges of candles that are read from the store."""
    ranges = []
    kind = type(runtime.candle_store())
    whole = kind.read_range

    def counted(self, series, start, end, *, limit):
        ranges.append(start)
        return whole(self, series, start, end, limit=limit)

    monkeypatch.setattr(kind, "read_range", counted)
    return ranges


def index(api, **query):
    response = api.get(HISTORY, series_id=SERIES, **query)
    assert response.status_code == 200, response.content
    return response.json()


def names(api, **query):
    return [chunk["name"] for chunk in index(api, **query)["chunks"]]


def chunk(api, name):
    response = api.get(f"{HISTORY}/{name}", series_id=SERIES)
    assert response.status_code == 200, response.content
    return response


def test_chunks_and_tail_are_all_candles(api):
    store(range(0, 5 * SPAN + 180, 60))
    found = index(api)
    assert (found["series_id"], found["format"], found["epoch"]) == (SERIES, 1, 0)
    assert [each["first"] for each in found["chunks"]] == [SPAN * n for n in (1, 2, 3, 4)]
    assert {each["candles"] for each in found["chunks"]} == {8}
    assert found["tail_since"] == 5 * SPAN - 1
    older = index(api, before=found["next_before"])
    assert [each["last"] for each in older["chunks"]] == [SPAN - 60]
    assert older["next_before"] is None
    rows = [
        row
        for each in older["chunks"] + found["chunks"]
        for row in decode(chunk(api, each["name"]).content)
    ]
    assert rows == runtime.candle_store().read_after(SeriesId.parse(SERIES), -1, 40)


def test_the_python_client_reads_everything(api):
    store([*range(60, 6 * SPAN, 60), *range(9 * SPAN, 9 * SPAN + 240, 60)])

    def fetch(address):
        path, _, query = address.removeprefix("http://here").partition("?")
        return api.http.get(path, dict(parse_qsl(query))).content

    stored = runtime.candle_store().read_after(SeriesId.parse(SERIES), -1, 5000)
    assert list(all_candles("http://here", SERIES, fetch=fetch)) == stored


def test_a_chunk_may_be_kept_for_ever(api):
    store(range(0, 2 * SPAN, 60))
    store([2 * SPAN])
    name = names(api)[0]
    assert re.fullmatch(r"0-[0-9a-f]{24}", name)
    response = chunk(api, name)
    assert response["Cache-Control"] == "public, max-age=31536000, immutable"
    assert response["Content-Type"] == "application/octet-stream"
    assert response["ETag"] == f'"{name}"'
    assert "Accept-Encoding" in response["Vary"]
    packed = api.http.get(
        f"{HISTORY}/{name}", {"series_id": SERIES}, headers={"Accept-Encoding": "gzip"}
    )
    assert packed["Content-Encoding"] == "gzip"
    assert packed["ETag"] == f'"{name}.gz"'


def test_a_new_candle_touches_only_the_tail(api, reads):
    store(range(0, 3 * SPAN + 60, 60))
    before = names(api)
    del reads[:]
    store([3 * SPAN + 60])
    assert names(api) == before
    assert reads == []


def test_a_cell_joins_the_index_when_the_head_leaves_it(api):
    store(range(0, SPAN, 60))
    assert index(api)["chunks"] == []
    assert index(api)["tail_since"] is None
    store([SPAN])
    assert len(names(api)) == 1
    assert index(api)["tail_since"] == SPAN - 1


def test_a_revision_renames_only_the_chunk_that_it_touches(api, reads):
    store(range(0, 4 * SPAN + 60, 60))
    before = names(api)
    del reads[:]
    store([2 * SPAN + 120], close=1.75)
    after = names(api)
    assert [one == other for one, other in zip(before, after, strict=True)] == [
        True, True, False, True,
    ]  # fmt: skip
    assert set(reads) == {2 * SPAN, 3 * SPAN}
    assert decode(chunk(api, after[2]).content)[2][4] == 1.75


def test_the_name_of_a_revised_chunk_is_not_found_by_a_new_process(api):
    store(range(0, SPAN + 60, 60))
    (name,) = names(api)
    store([120], close=1.75)
    history_chunks.history_chunks.reset()
    response = api.get(f"{HISTORY}/{name}", series_id=SERIES)
    assert refusal(response) == (404, "history.no_chunk")


def test_a_hole_costs_no_chunks(api, reads):
    store([*range(0, SPAN, 60), *range(1000 * SPAN, 1001 * SPAN + 60, 60)])
    found = index(api)
    assert [each["first"] for each in found["chunks"]] == [0, 1000 * SPAN]
    assert len(reads) == 2


def test_a_cell_that_was_empty_is_found_after_its_backfill(api):
    store([*range(0, SPAN, 60), *range(3 * SPAN, 4 * SPAN + 60, 60)])
    assert len(names(api)) == 2
    store(range(SPAN, SPAN + 120, 60))
    assert [each["candles"] for each in index(api)["chunks"]] == [8, 2, 8]


def test_candles_off_the_grid_make_several_chunks(api, monkeypatch):
    monkeypatch.setattr(history_chunks, "CHUNK_CANDLES", 10)
    store([*range(0, SPAN, 20), SPAN])
    found = index(api)["chunks"]
    assert [each["candles"] for each in found] == [10, 10, 4]
    rows = [row for each in found for row in decode(chunk(api, each["name"]).content)]
    assert [row[0] for row in rows] == list(range(0, SPAN, 20))


def test_an_unchanged_index_is_304_without_reading_candles(api, reads):
    store(range(0, 2 * SPAN + 60, 60))
    first = api.get(HISTORY, series_id=SERIES)
    history_chunks.history_chunks.reset()
    del reads[:]
    tag = {"If-None-Match": first["ETag"]}
    store([2 * SPAN + 60])
    assert api.http.get(HISTORY, {"series_id": SERIES}, headers=tag).status_code == 304
    assert reads == []
    store([60], close=1.75)
    assert api.http.get(HISTORY, {"series_id": SERIES}, headers=tag).status_code == 200


def test_another_past_keeps_no_names(api, reads, monkeypatch):
    store(range(0, 2 * SPAN + 60, 60))
    first = names(api)
    state = runtime.candle_store().state
    del reads[:]
    monkeypatch.setattr(
        type(runtime.candle_store()),
        "state",
        lambda self, series: state(series)._replace(generation="another"),
    )
    assert names(api) == first
    assert len(reads) == 2


def test_bodies_are_bounded_and_computed_again(api):
    store(range(0, 3 * SPAN + 60, 60))
    series, kept = SeriesId.parse(SERIES), runtime.candle_store()
    chunks = history_chunks.HistoryChunks(kept, max_bytes=1)
    found = chunks.index(series, kept.state(series), before=None, limit=10).chunks
    assert len(chunks._bodies) == 1
    assert all(chunks.body(series, each.name) for each in found)


def test_series_beyond_the_bound_are_forgotten(api):
    other = "binance:futures:ETH/USDT:1m"
    store(range(0, 3 * SPAN + 60, 60))
    store(range(0, 3 * SPAN + 60, 60), series=other)
    kept = runtime.candle_store()
    chunks = history_chunks.HistoryChunks(kept, max_cells=4)
    for each in map(SeriesId.parse, (SERIES, other)):
        assert len(chunks.index(each, kept.state(each), before=None, limit=10).chunks) == 3
    assert list(chunks._kept) == [SeriesId.parse(other)]


@pytest.mark.parametrize(
    "name", ["0-" + "0" * 24, "9" * 12 + "-" + "0" * 24, "x", "0-ABC", "1" * 40]
)
def test_names_of_no_chunk_are_not_found(api, name):
    store(range(0, SPAN + 60, 60))
    assert refusal(api.get(f"{HISTORY}/{name}", series_id=SERIES)) == (404, "history.no_chunk")


def test_bad_series_are_refused(api):
    for path in (HISTORY, f"{HISTORY}/0-{'0' * 24}"):
        assert refusal(api.get(path, series_id="abc")) == (400, "invalid_series_id")
        assert api.get(path).status_code == 422


def test_switched_off_it_is_not_found(api, switch):
    switch(enable_compact_history=False)
    for path in (HISTORY, f"{HISTORY}/0-{'0' * 24}"):
        assert refusal(api.get(path, series_id=SERIES)) == (404, "not_found")
