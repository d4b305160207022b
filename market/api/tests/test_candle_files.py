"""Candles as files: what is in them, what is refused, and what a reader that goes away costs."""

from __future__ import annotations

import asyncio
import csv
import gzip
import io
import json
import struct
import subprocess
import sys
import time
from dataclasses import replace
from typing import NamedTuple

import pyarrow.ipc
import pyarrow.parquet
import pytest
from asgiref.sync import async_to_sync
from django.core.asgi import get_asgi_application
from django.test import AsyncClient

from lab.waiting import patience
from market import blocking, runtime
from market.api import candle_files
from market.api.asgi import CONNECTION
from market.api.front import Front
from market.api.tests.asking import SERIES, refusal, scope, store
from market.api.tests.streaming import StreamedClient
from market.candle_files.columns import COLUMNS
from market.candle_files.writers import SERIES_COLUMN
from market.domain.candle import Candle
from market.domain.series import SeriesId
from market.metrics_registry import collecting

OTHER = "okx:spot:ETH/USDT:USDT:1m"
KINDS = ["csv", "parquet", "arrow"]
SERIES_ID = SeriesId.parse(SERIES)


BOTH = pytest.mark.usefixtures("either_store")
MEMORY = pytest.mark.usefixtures("in_memory")


@pytest.fixture(autouse=True)
def switched_on(fresh_process, switch, monkeypatch):
    """Pages of seven candles."""
    switch(enable_candle_export=True)
    monkeypatch.setattr(candle_files, "PAGE", 7)


def path(kind):
    return f"/api/market/candles.{kind}"


def answered(kind, *, method="get", headers=None, **query):
    """An answer, and its whole body."""

    async def ask():
        send = getattr(AsyncClient(raise_request_exception=False), method)
        response = await send(path(kind), {"series_id": SERIES} | query, headers=headers)
        if method == "head":
            # The test client drops the body of any.
            return response, b""
        if not response.streaming:
            return response, response.content
        return response, b"".join([part async for part in response.streaming_content])

    return async_to_sync(ask)()


def rows(kind, content):
    """The rows of a file, read without our own code."""
    if kind == "csv":
        header, *lines = csv.reader(content.decode().splitlines())
        texts = header.index("candle_time")
        return header, [
            (*line[:texts], int(line[texts]), *map(float, line[texts + 1 :])) for line in lines
        ]
    source = io.BytesIO(content)
    table = (
        pyarrow.parquet.read_table(source)
        if kind == "parquet"
        else pyarrow.ipc.open_file(source).read_all()
    )
    columns = [column.to_pylist() for column in table.columns]
    return table.schema.names, list(zip(*columns, strict=True))


def read(kind, **query):
    response, content = answered(kind, **query)
    assert response.status_code == 200, content
    names, found = rows(kind, content)
    assert names == list(COLUMNS)
    return response, [Candle._make(row) for row in found]


def bits(candles):
    return [struct.pack("<q5d", *candle) for candle in candles]


@BOTH
@pytest.mark.parametrize("kind", KINDS)
def test_file_has_every_candle_bit_by_bit(kind):
    hard = [
        Candle(60, 5e-324, 1.7976931348623157e308, -5e-324, 0.1 + 0.2, 1e-300),
        Candle(120, 0.30000000000000004, 1e16, 0.1, 123456789.123456789, 0.0),
    ]
    store(range(180, 6000, 60))
    blocking.call(runtime.pipeline().ingest, SERIES_ID, hard)
    whole = runtime.candle_store().read_after
    kept = blocking.call(whole, SERIES_ID, -1, 1000)
    response, found = read(kind)
    assert bits(found) == bits(kept) and len(found) == 99
    assert response.headers["Content-Type"] == candle_files.CONTENT_TYPES[kind]
    assert response.headers["Cache-Control"] == "no-cache"
    name = f"binance_futures_BTC-USDT_1m.{kind}"
    assert response.headers["Content-Disposition"] == f'attachment; filename="{name}"'
    assert response.headers["X-Series-Epoch"] == "1"
    assert response.headers["X-Server-Head-Time"] == "5940"


@BOTH
@pytest.mark.parametrize("kind", KINDS)
def test_range_is_inclusive_and_may_be_empty(kind):
    store(range(60, 6000, 60))
    _, found = read(kind, **{"from": 600, "to": 1200})
    assert [each.candle_time for each in found] == list(range(600, 1201, 60))
    for empty in ({"from": 1200, "to": 600}, {"from": 9999}, {"series_id": OTHER}):
        assert (read(kind, **empty))[1] == []


@MEMORY
@pytest.mark.parametrize("kind", KINDS)
def test_several_series_have_a_column_in_the_order_asked_for(kind):
    store(range(60, 1200, 60))
    store(range(60, 300, 60), series=OTHER)
    response, content = answered(kind, series_id=[OTHER, SERIES, OTHER], to=240)
    names, found = rows(kind, content)
    assert names == [SERIES_COLUMN, *COLUMNS]
    times = [60, 120, 180, 240]
    assert [row[:2] for row in found] == [(name, at) for name in (OTHER, SERIES) for at in times]
    assert response.headers["Content-Disposition"] == f'attachment; filename="candles.{kind}"'
    assert "X-Series-Epoch" not in response.headers


@MEMORY
def test_csv_is_compressed_for_clients_that_accept_it():
    store(range(60, 6000, 60))
    _, plain = answered("csv")
    response, packed = answered("csv", headers={"Accept-Encoding": "gzip"})
    assert response.headers["Content-Encoding"] == "gzip"
    assert "Accept-Encoding" in response.headers["Vary"]
    assert gzip.decompress(packed) == plain
    response, content = answered("parquet", headers={"Accept-Encoding": "gzip"})
    assert "Content-Encoding" not in response.headers
    assert content.startswith(b"PAR1")


def continuation(response):
    """What a client sends to get what has changed since an answer."""
    given = response.headers
    return {
        "since": given["X-Server-Head-Time"],
        "epoch": given["X-Series-Epoch"],
        "generation": given["X-Series-Generation"],
    }


@BOTH
def test_file_since_the_last_one_has_what_is_new_or_revised():
    store([60, 120, 240])
    first, found = read("csv")
    kept = {each.candle_time: each for each in found}
    for times, close in (([300, 360], 1.5), ([120], 1.75), ([180], 1.5), ([], 1.5)):
        if times:
            store(times, close=close)
        first, found = read("csv", **continuation(first))
        start = int(first.headers["X-Changed-From"])
        assert all(each.candle_time >= start for each in found)
        kept = {at: each for at, each in kept.items() if at < start}
        kept |= {each.candle_time: each for each in found}
        assert list(kept.values()) == (read("csv"))[1]
    assert found == [] and first.headers["X-Changed-From"] == "361"


@BOTH
def test_file_since_another_past_is_the_whole_series():
    store([60, 120])
    first, whole = read("csv")
    other = continuation(first) | {"generation": "another"}
    assert (read("csv", **other))[1] == whole
    # An epoch that is ahead of the store's, too.
    assert (read("csv", **(continuation(first) | {"epoch": 9})))[1] == whole
    # Without either, a time is a time.
    assert (read("csv", since=60))[1] == whole[1:]


@BOTH
def test_candle_that_is_still_open_is_withheld():
    now = int(time.time()) // 60 * 60
    store([now - 120, now - 60, now])
    response, found = read("csv")
    assert [each.candle_time for each in found] == [now - 120, now - 60]
    assert response.headers["X-Server-Head-Time"] == str(now - 60)


@BOTH
@pytest.mark.parametrize("method", ["get", "head"])
def test_unchanged_file_is_304_and_reads_no_candle(method, monkeypatch):
    store(range(60, 600, 60))
    response, _ = answered("parquet")
    tag = {"If-None-Match": response.headers["ETag"]}
    assert response.headers["ETag"].startswith('W/"')
    with monkeypatch.context() as patched:
        patched.setattr(candle_files, "pages", None)
        again, content = answered("parquet", method=method, headers=tag)
        assert (again.status_code, content) == (304, b"")
        assert again.headers["ETag"] == response.headers["ETag"]
        described, content = answered("parquet", method="head")
    assert (described.status_code, content) == (200, b"")
    assert "Content-Length" not in described.headers
    for name in ("ETag", "Content-Type", "Content-Disposition", "X-Series-Epoch"):
        assert described.headers[name] == response.headers[name]
    for other in ({"to": 300}, {"from": 120}, {"series_id": [SERIES, OTHER]}):
        assert (answered("parquet", headers=tag, **other))[0].status_code == 200
    assert (answered("csv", headers=tag))[0].status_code == 200
    store([120], close=1.75)
    assert (answered("parquet", headers=tag))[0].status_code == 200


def refused(kind, **query):
    response, _ = answered(kind, **query)
    return refusal(response)


@MEMORY
def test_wrong_question_is_refused():
    assert refused("xls") == (404, "not_found")
    assert refused("csv", series_id="abc") == (400, "invalid_series_id")
    alias, content = answered("csv", series_id="binance:futures:BTC/USDT:USDT:60m")
    assert (alias.status_code, json.loads(content)["code"]) == (400, "series_alias")
    assert refused("csv", series_id=[]) == (422, "validation_error")
    assert refused("csv", series_id=[SERIES] * 101) == (422, "validation_error")
    assert refused("csv", series_id=[SERIES, OTHER], since=60) == (422, "validation_error")
    for wrong in ({"from": "x"}, {"to": -1}, {"since": 1, "epoch": -1}):
        assert refused("csv", **wrong) == (422, "validation_error")


@MEMORY
def test_switch_turns_the_route_off(switch):
    switch(enable_candle_export=False)
    assert refused("csv") == (404, "not_found")


@MEMORY
def test_missing_extra_is_named(monkeypatch):
    store([60])
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert refused("parquet") == (501, "arrow_not_installed")
    assert refused("arrow") == (501, "arrow_not_installed")
    assert len((read("csv"))[1]) == 1


@MEMORY
def test_too_many_exports_are_refused(monkeypatch):
    store([60])
    monkeypatch.setattr(candle_files.places, "taken", candle_files.MOST_EXPORTS)
    assert refused("csv") == (503, "too_many_streams")
    assert (answered("csv", method="head"))[0].status_code == 200


@BOTH
def test_derived_series_is_made_and_exported(switch):
    switch(enable_derived_timeframes=True, derived_timeframes="5m")
    store(range(0, 1800, 60))
    derived = str(replace(SERIES_ID, timeframe=SeriesId.parse("a:b:c:5m").timeframe))
    _, found = read("arrow", series_id=derived)
    assert [each.candle_time for each in found][:5] == [0, 300, 600, 900, 1200]


class Connection(NamedTuple):
    """What the server's protocol puts into the scope."""

    drained: object
    abort: object


class Reader(StreamedClient):
    """A client behind the front that reads chunk by chunk, and may go away."""

    def __init__(self, query):
        self.chunks = asyncio.Queue()
        self.room = asyncio.Semaphore(0)
        sent = scope(path("csv"), query, "GET", {})
        ended = Connection(lambda: self.gone.wait(), lambda: self.gone.set())
        sent["state"] = {CONNECTION: ended}
        super().__init__(Front(get_asgi_application()), sent)

    async def send(self, message):
        if message["type"] == "http.response.body":
            await self.room.acquire()
            self.chunks.put_nowait(message["body"])


@pytest.fixture
def pages_read(monkeypatch):
    """How many pages were read from the store."""
    read = []
    whole = candle_files.pages

    def counted(*given, **how):
        for page in whole(*given, **how):
            read.append(len(page))
            yield page

    monkeypatch.setattr(candle_files, "pages", counted)
    return read


@pytest.fixture
def long(in_memory):
    """A series of a thousand candles, in memory."""
    store(range(60, 60_060, 60))


async def test_reading_keeps_to_the_pace_of_the_client_and_ends_with_it(long, pages_read):
    reader = Reader(f"series_id={SERIES}")
    try:
        async with asyncio.timeout(patience(20)):
            for chunk in range(1, 4):
                reader.room.release()
                await reader.chunks.get()
                assert len(pages_read) <= chunk + 1
            assert candle_files.places.taken == 1
            reader.gone.set()
            await reader.task
    finally:
        reader.task.cancel()
    assert candle_files.places.taken == 0
    assert len(pages_read) <= 5


async def test_export_that_takes_too_long_is_ended(long, pages_read, monkeypatch):
    monkeypatch.setattr(candle_files, "MOST_S", 0.05)
    reader = Reader(f"series_id={SERIES}")
    async with asyncio.timeout(patience(20)):
        # It never gets room for its first chunk.
        await reader.task
    assert reader.gone.is_set()
    assert candle_files.places.taken == 0
    assert len(pages_read) == 1


def test_failure_in_the_midst_does_not_end_the_file_well(long, pages_read, monkeypatch):
    counted = candle_files.pages

    def failing(*given, **how):
        for number, page in enumerate(counted(*given, **how)):
            if number == 3:
                raise TimeoutError
            yield page

    monkeypatch.setattr(candle_files, "pages", failing)
    # The server cuts the connection when an answer raises after its start.
    with pytest.raises(TimeoutError):
        answered("csv")
    assert candle_files.places.taken == 0


def test_exports_are_counted(long, api, switch, monkeypatch):
    switch(enable_debug_api=True, enable_runtime_metrics=True)
    with collecting():
        answered("parquet", to=600)
        monkeypatch.setattr(candle_files, "_taken", {}.pop)
        assert answered("csv")[0].status_code == 500
        counters = api.get("/api/market/debug/metrics").json()["counters"]
    assert counters["market_exports_total{kind=parquet,result=whole}"] == 1.0
    assert counters["market_exports_total{kind=csv,result=cut}"] == 1.0
    assert counters["market_exported_candles_total"] == 16.0


def test_pyarrow_is_imported_only_when_it_is_needed():
    code = "import sys, market.candle_files.writers; sys.exit('pyarrow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=patience(10)).returncode == 0
