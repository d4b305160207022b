"""Switched back to one process: memory stores, in-process bus and ingest, the same answers."""

from __future__ import annotations

import asyncio
import itertools
import json
import socket
import time
import urllib.error
import urllib.request
from contextlib import ExitStack
from urllib.parse import urlencode

import pytest

from lab.http import get, post
from lab.waiting import patience, wait_until
from tests.clients import Client, head_of

ONE_PROCESS = {"TRADE_CANVAS_ENABLE_PG_STORE": "0", "TRADE_CANVAS_ENABLE_WS_PUBSUB": "0"}
INGEST = {
    "TRADE_CANVAS_ENABLE_WHITELIST_INGEST": "1",
    "TRADE_CANVAS_ENABLE_ONDEMAND_INGEST": "1",
    "TRADE_CANVAS_ONDEMAND_IDLE_TTL_S": "1",
    "TRADE_CANVAS_RECONCILE_INTERVAL_S": "0.5",
}
PINNED = "sim:futures:BTC/USDT:1s"
WATCHED = "sim:spot:ETH/USDT:1s"
STARTED_S = 30.0

MINUTES = "test:futures:BTC/USDT:1m"
HOURS = "test:spot:ETH/USDT:1h"
EMPTY = "test:spot:EMPTY/USDT:1m"
START = 1_700_000_040


class Trap:
    """A listening socket that must get no connection."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._socket.setblocking(False)
        self.address = f"127.0.0.1:{self._socket.getsockname()[1]}"

    def __enter__(self) -> Trap:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def is_untouched(self) -> bool:
        try:
            self._socket.accept()[0].close()
        except BlockingIOError:
            return True
        return False


@pytest.fixture
def traps():
    with ExitStack() as opened:
        yield [opened.enter_context(Trap()), opened.enter_context(Trap())]


@pytest.fixture
def whitelist_file(open_folder):
    path = open_folder / "whitelist.json"
    path.write_text(json.dumps({"series_ids": [PINNED]}))
    return path


async def test_one_process_ingests_and_delivers_without_any_server(
    stack, open_folder, whitelist_file, traps
):
    exchange = stack.local_exchange()
    database, bus = traps
    data = open_folder / "data"
    web = stack.web(
        **ONE_PROCESS,
        **INGEST,
        TRADE_CANVAS_WHITELIST_PATH=str(whitelist_file),
        DATABASE_URL=f"postgres://nobody:nothing@{database.address}/nowhere",
        REDIS_URL=f"redis://{bus.address}/0",
        DATA_DIR=str(data),
    )
    await asyncio.to_thread(wait_until, lambda: head_of(web, PINNED), STARTED_S, "a first candle")
    async with Client(web.url) as client:
        await asyncio.gather(
            watch(client, exchange, PINNED, since=head_of(web, PINNED)),
            watch(client, exchange, WATCHED, since=None),
        )
    await asyncio.to_thread(
        wait_until, lambda: jobs_of(web) == [PINNED], STARTED_S, "the watched series to be released"
    )
    assert web.terminate() == 0
    assert database.is_untouched()
    assert bus.is_untouched()
    assert not {"postgres", "valkey"} & {path.name for path in data.iterdir()}


async def watch(client, exchange, series_id, *, since):
    """Follow a series for some seconds: each candle once, and as the exchange had it."""
    watcher = await client.follow(series_id, since)
    until = int(time.time()) + 3
    async with asyncio.timeout(patience(STARTED_S)):
        while not (times := watcher.closed_times()) or times[-1] < until:
            await watcher.next()
    first = times[0] if since is None else since + 1
    assert times == list(range(first, times[-1] + 1))
    stored = await client.candles(series_id, limit=5000)
    assert stored == exchange.truth(series_id, stored[0]["candle_time"], stored[-1]["candle_time"])


def jobs_of(web):
    return [job["series_id"] for job in get(f"{web.url}/api/market/debug/ingest_state")[1]["jobs"]]


# The same input, the same bytes


@pytest.fixture(scope="module")
def both(shared_stack, tmp_path_factory):
    """A process on PostgreSQL and Valkey, and one on memory, with the same whitelist."""
    listed = [MINUTES, HOURS]
    path = tmp_path_factory.mktemp("whitelist") / "whitelist.json"
    path.write_text(json.dumps({"series_ids": listed}))
    on_servers = shared_stack.web(wait=False)
    in_memory = shared_stack.web(wait=False, **ONE_PROCESS, TRADE_CANVAS_WHITELIST_PATH=str(path))
    for series_id in listed:
        shared_stack.sql("INSERT INTO whitelist (series_id, enabled) VALUES (%s, true)", series_id)
    for web in (on_servers, in_memory):
        web.wait_ready()
        feed(web)
    return on_servers, in_memory


def feed(web):
    """Candles in order and out of it, twice, revised, off the grid, with holes, in bulk."""
    for number in (0, 1, 2, 2, 5, 4, 9):
        ingest(web, MINUTES, candle(START + 60 * number, number))
    ingest(web, MINUTES, candle(START + 60, 77.125))
    ingest(web, MINUTES, candle(START + 60 * 11 + 7, 0.1 + 0.2))
    bulk = [candle(3600 * number, number / 3) for number in range(1200) if number % 97]
    ingest_bulk(web, HOURS, [*bulk[600:], *bulk[:700]])
    ingest_bulk(web, HOURS, [candle(3600 * 97, 1e-9), candle(3600 * 1500, 123_456_789.123_456_7)])


def candle(candle_time, price):
    return {
        "candle_time": candle_time,
        "open": price,
        "high": price + 1 / 7,
        "low": price,
        "close": price + 1 / 9,
        "volume": price * 3,
    }


def ingest(web, series_id, one):
    body = {"series_id": series_id, "candle": one}
    status, answer = post(f"{web.url}/api/market/ingest/candle_closed", body)
    assert status == 200, answer


def ingest_bulk(web, series_id, candles):
    body = {"series_id": series_id, "candles": candles}
    status, answer = post(f"{web.url}/api/dev/market/ingest/candles_closed_batch", body)
    assert status == 200, answer


def questions():
    """Every read of the API, also such that are refused."""
    for series_id, limit in itertools.product((MINUTES, HOURS, EMPTY), (1, 500, 5000)):
        yield "/api/market/candles", {"series_id": series_id, "limit": limit}
    for series_id, since in itertools.product(
        (MINUTES, HOURS), (0, START - 1, START, START + 60 * 3, 3600 * 96, 3600 * 1199, 2**40)
    ):
        yield "/api/market/candles", {"series_id": series_id, "since": since, "limit": 7}
    for series_id, limit in itertools.product(("abc", "a:b:c:99y", HOURS), (0, 5001)):
        yield "/api/market/candles", {"series_id": series_id, "limit": limit}
    for series_id, now in itertools.product(
        (MINUTES, HOURS, EMPTY), (0, START + 60 * 12, START + 60 * 13, 3600 * 1501, 2**40)
    ):
        yield "/api/market/health", {"series_id": series_id, "now_time": now}
    for series_id in (MINUTES, HOURS, EMPTY, "abc"):
        yield "/api/market/debug/series_health", {"series_id": series_id, "max_recent_gaps": 50}
    for query in ({"from": 0}, {"from": 3600 * 700, "to": 3600 * 900, "factors": "true"}):
        yield "/api/replay/stream", {"series_id": HOURS, **query}
    yield "/api/market/whitelist", {}
    for query in ({"query": "btc"}, {"exchange": "test"}, {"cursor": "none"}):
        yield "/api/market/symbols", query
    yield "/api/market/debug/ingest_state", {}
    yield "/api/schema/", {}


def test_every_read_answers_the_same_bytes_from_memory_and_postgresql(both):
    on_servers, in_memory = both
    for path, query in questions():
        address = f"{path}?{urlencode(query)}"
        ours, theirs = in_one_second(address, in_memory, on_servers)
        assert ours == theirs, address


def in_one_second(address, one, other):
    """Ask both processes until they agree or were asked in one second: some answers name it."""
    while True:
        began = int(time.time())
        answers = read(one.url + address), read(other.url + address)
        if answers[0] == answers[1] or int(time.time()) == began:
            return answers


def read(url):
    """Status, the headers that caches and browsers go by, and the body as it came."""
    try:
        with urllib.request.urlopen(url, timeout=patience(10)) as response:
            return response.status, described(response), response.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, described(error), error.read()


def described(response):
    """The two stores have other pasts, so a page has another tag in each."""
    named = [response.headers[name] for name in ("Content-Type", "Cache-Control", "Vary")]
    return [*named, "ETag" in response.headers]


def test_paging_to_the_end_gives_the_same_pages(both):
    pages = [list(paged(web)) for web in both]
    assert pages[0] == pages[1]
    times = [each["candle_time"] for page in pages[0] for each in json.loads(page)["candles"]]
    assert times == sorted(set(times))
    assert len(times) == 1189


def paged(web):
    since = 0
    while True:
        query = urlencode({"series_id": HOURS, "since": since, "limit": 100})
        body = read(f"{web.url}/api/market/candles?{query}")[2]
        candles = json.loads(body)["candles"]
        if not candles:
            return
        yield body
        since = candles[-1]["candle_time"]


async def test_watchers_catch_up_with_the_same_frames(both):
    frames = [await caught_up(web) for web in both]
    assert frames[0] == frames[1]
    assert len(frames[0]) > 1


async def caught_up(web):
    async with Client(web.url) as client:
        watcher = await client.follow(MINUTES, START, supports_batch=False)
        # The answer to nonsense comes after the catch-up.
        await watcher.send(type="noop")
        frames = []
        while not frames or '"error"' not in frames[-1]:
            frames.append(await watcher.next_text())
        return [frame if isinstance(frame, str) else frame.decode() for frame in frames]
