"""Drawings over two web processes and a real Valkey: in order, and always those of a frame."""

from __future__ import annotations

import asyncio
import itertools
import json
import random

import pytest

from lab.drawn_view import LIVE, POLL, DrawnView
from lab.waiting import patience
from tests.clients import Client

NUMBERS = itertools.count()
SMALL = {"TRADE_CANVAS_PIVOT_WINDOW_MAJOR": "2", "TRADE_CANVAS_PIVOT_WINDOW_MINOR": "1"}
OFF = {"TRADE_CANVAS_ENABLE_WS_PUSH": "0"}
FOLLOW_S = 20.0


@pytest.fixture
def series():
    return f"binance:futures:DRAW{next(NUMBERS)}/USDT:1m"


@pytest.fixture(scope="module")
def webs(shared_stack):
    """Two web processes; the bus alone connects them."""
    return [shared_stack.web(**SMALL) for _ in range(2)]


def walk(count, first=60):
    """Candles of a random walk in minutes, as rows to post."""
    chance, close, rows = random.Random(first), 100.0, []
    for n in range(count):
        before, close = close, close + chance.choice([-2.5, -1.1, -0.1, 0.1, 1.1, 2.5])
        high, low = max(before, close) + chance.random(), min(before, close) - chance.random()
        rows.append((first + 60 * n, before, high, low, close, 1.0))
    return rows


class Page:
    """A client of one web process that keeps candles and drawings."""

    def __init__(self, client, series):
        self.client, self.series = client, series
        self.view = DrawnView(series, self.read)
        self.order = []
        self.follower = None

    async def read(self, path, query):
        async with self.client._session.get(path, params=query) as answer:
            assert answer.status == 200, await answer.text()
            return await answer.json(), answer.headers

    async def open(self, since):
        await self.view.begin()
        await self.reopen(since)

    async def reopen(self, since):
        self.follower = await self.client.follow(
            self.series, since=since, supports_batch=True, drawings=self.view.cursor
        )
        await self.view.take(await self.follower.next_of("draw_cursor"))

    async def until(self, time, *, dropped=()):
        """Take messages until the drawings of a candle are there, and its candle before them."""
        async with asyncio.timeout(patience(FOLLOW_S)):
            while self.view.time != time:
                message = await self.follower.next()
                kind = message["type"]
                if kind == "candle_closed":
                    self.order.append(message["candle"]["candle_time"])
                elif kind == "draw_delta":
                    assert self.order and self.order[-1] >= message["to_candle_time"]
                    if message["to_candle_time"] in dropped:
                        continue
                await self.view.take(message)

    async def frame(self):
        """What a new page is shown, as bytes."""
        view = DrawnView(self.series, self.read)
        await view.begin()
        return as_bytes(view), view.cursor


def as_bytes(view):
    return json.dumps(view.shown, sort_keys=True).encode()


@pytest.fixture
async def clients(webs):
    async with Client(webs[0].url) as writer, Client(webs[1].url) as reader:
        yield writer, reader


async def test_drawings_arrive_in_order_and_without_a_request(clients, series):
    writer, reader = clients
    rows = walk(160)
    await writer.ingest_batch(series, rows[:120])
    page = Page(reader, series)
    await page.open(rows[119][0])
    for row in rows[120:]:
        await writer.ingest(series, row)
        await page.until(row[0])
        assert (as_bytes(page.view), page.view.cursor) == await page.frame()
    assert page.view.reads == [LIVE]
    assert page.order == [row[0] for row in rows[120:]]
    assert len(page.view.shown) > 20


async def test_missed_change_is_read_once(clients, series):
    writer, reader = clients
    rows = walk(126)
    await writer.ingest_batch(series, rows[:120])
    page = Page(reader, series)
    await page.open(rows[119][0])
    for row in rows[120:]:
        await writer.ingest(series, row)
        if row is not rows[122]:
            await page.until(row[0], dropped=[rows[122][0]])
    assert page.view.reads == [LIVE, POLL]
    assert (as_bytes(page.view), page.view.cursor) == await page.frame()


async def test_view_after_a_reconnect_is_the_frame(clients, series):
    writer, reader = clients
    rows = walk(150)
    await writer.ingest_batch(series, rows[:120])
    page = Page(reader, series)
    await page.open(rows[119][0])
    page.follower.cut()
    await writer.ingest_batch(series, rows[120:140])
    await page.reopen(rows[119][0])
    assert (as_bytes(page.view), page.view.cursor) == await page.frame()
    await writer.ingest(series, rows[140])
    await page.until(rows[140][0])
    assert page.view.reads == [LIVE, POLL]
    assert (as_bytes(page.view), page.view.cursor) == await page.frame()


async def test_page_moves_to_another_web_process_with_its_cursor(clients, series):
    writer, reader = clients
    rows = walk(123)
    await writer.ingest_batch(series, rows[:120])
    page = Page(reader, series)
    await page.open(rows[119][0])
    await writer.ingest(series, rows[120])
    await page.until(rows[120][0])
    page.follower.cut()
    page.client = writer
    await page.reopen(rows[120][0])
    await writer.ingest(series, rows[121])
    await page.until(rows[121][0])
    assert page.view.reads == [LIVE]
    assert (as_bytes(page.view), page.view.cursor) == await page.frame()


async def test_revision_makes_the_page_read_again(clients, series):
    writer, reader = clients
    rows = walk(121)
    await writer.ingest_batch(series, rows[:120])
    page = Page(reader, series)
    await page.open(rows[119][0])
    revised = (*rows[60][:5], 7.0)
    await writer.ingest(series, revised)
    async with asyncio.timeout(patience(FOLLOW_S)):
        while page.view.reads == [LIVE]:
            await page.view.take(await page.follower.next())
    await writer.ingest(series, rows[120])
    await page.until(rows[120][0])
    assert (as_bytes(page.view), page.view.cursor) == await page.frame()
    assert set(page.view.reads) <= {LIVE, POLL}


async def test_server_with_push_off_sends_candles_only(shared_stack, series):
    web = shared_stack.web(**SMALL, **OFF)
    rows = walk(121)
    async with Client(web.url) as client:
        await client.ingest_batch(series, rows[:120])
        follower = await client.follow(series, since=rows[119][0], drawings=0)
        await client.settle(follower)
        await client.ingest(series, rows[120])
        await follower.next_of("candle_closed")
        await client.settle(follower)
    assert {each["type"] for each in follower.messages} == {"candle_closed", "error"}
