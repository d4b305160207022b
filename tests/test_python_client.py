"""The Python client against real processes: what it reads and follows is what is stored."""

from __future__ import annotations

import asyncio
import itertools
from contextlib import aclosing, asynccontextmanager

import pytest

from lab.waiting import patience
from tests.clients import Client as Poster
from trade_canvas_client import (
    AsyncClient,
    BadRequest,
    Client,
    Closed,
    Gap,
    Interrupted,
    Live,
    Reset,
    Retry,
    Revised,
)

numbers = itertools.count(1)
QUICK = Retry(attempts=3, first_s=0.05, most_s=0.5)
STEP = 60


def row(time, close=1.5):
    return (time, 1.0, 2.0, 0.5, close, 10.0)


def rows(first, last, close=1.5):
    return [row(time, close) for time in range(first, last + STEP, STEP)]


@pytest.fixture
def series():
    return f"binance:futures:PY{next(numbers)}/USDT:1m"


class Copy:
    """What a caller has that does what the updates say."""

    def __init__(self, client, series_id, since=None, **options):
        self.closes = {}
        self.updates = []
        self._new = asyncio.Event()
        self._following = client.follow(series_id, since, **options)

    async def run(self):
        async with aclosing(self._following) as updates:
            async for update in updates:
                self.take(update)
                self._new.set()

    def take(self, update):
        self.updates.append(update)
        match update:
            case Closed(candle):
                assert candle.candle_time > max(self.closes, default=0)
                self.closes[candle.candle_time] = candle.close
            case Revised(from_time, candles):
                first = max(from_time, candles.start)
                kept = {time: close for time, close in self.closes.items() if time < first}
                self.closes = kept | {each.candle_time: each.close for each in candles}
            case Reset(candles):
                self.closes = {each.candle_time: each.close for each in candles}

    def of(self, kind):
        return [each for each in self.updates if isinstance(each, kind)]

    async def until(self, condition):
        async with asyncio.timeout(patience(20)):
            while not condition(self):
                self._new.clear()
                await self._new.wait()


@asynccontextmanager
async def copied(client, series_id, since=None, **options):
    """A copy that follows for as long as the context lasts."""
    copy = Copy(client, series_id, since, **options)
    task = asyncio.create_task(copy.run())
    try:
        yield copy
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def has(time, close=1.5):
    return lambda copy: copy.closes.get(time) == close


async def stored(poster, series_id):
    found = await poster.candles(series_id, limit=5000)
    return {each["candle_time"]: each["close"] for each in found}


async def test_frames_are_what_is_stored(shared_web, series):
    async with Poster(shared_web.url) as poster, AsyncClient(shared_web.url) as client:
        await poster.ingest_batch(series, rows(STEP, 9000 * STEP))
        read, newest, part = await asyncio.gather(
            client.candles(series),
            client.candles(series, newest=6000),
            client.candles(series, 100 * STEP, 5200 * STEP),
        )
    assert list(read.columns.times) == list(range(STEP, 9001 * STEP, STEP))
    assert list(newest.columns.times) == list(read.columns.times[3000:])
    assert list(part.columns.times) == list(range(100 * STEP, 5201 * STEP, STEP))
    frame = part.to_pandas()
    assert frame.loc["1970-01-01 01:40":"1970-01-01 01:41", "candle_time"].tolist() == [6000, 6060]
    with Client(shared_web.url) as client:
        assert client.candles(series).rows() == read.rows()


async def test_following_takes_gaps_and_revisions(shared_web, series):
    async with Poster(shared_web.url) as poster, AsyncClient(shared_web.url) as client:
        await poster.ingest(series, *rows(60, 600))
        read = await client.candles(series, end=300)
        async with copied(client, series, read.to_pandas()) as copy:
            await copy.until(lambda copy: copy.of(Live))
            assert copy.closes == dict.fromkeys(range(360, 660, 60), 1.5)
            await poster.ingest(series, row(660), row(840))
            await copy.until(has(840))
            assert copy.of(Gap) == [Gap(720, 840)]
            await poster.ingest(series, row(720, 1.75))
            await copy.until(has(720, 1.75))
            await poster.ingest(series, row(120, 1.25))
            await copy.until(has(120, 1.25))
            after = {t: c for t, c in (await stored(poster, series)).items() if t >= 120}
            assert copy.closes == after
            assert not copy.of(Interrupted) and not copy.of(Reset)


async def test_revision_of_what_was_read_before_following_is_reported(shared_web, series):
    async with Poster(shared_web.url) as poster, AsyncClient(shared_web.url) as client:
        await poster.ingest(series, *rows(60, 600))
        read = await client.candles(series)
        await poster.ingest(series, row(180, 1.25), row(660))
        async with copied(client, series, read) as copy:
            await copy.until(lambda copy: copy.of(Revised))
            assert copy.closes == {60 * n: 1.5 for n in range(4, 12)} | {180: 1.25}
            (revised,) = copy.of(Revised)
            assert revised.from_time == 180


async def test_following_outlives_killed_and_stopped_web_processes(shared_stack, series):
    first, second = shared_stack.web(), shared_stack.web()
    servers = [first.url, second.url]
    async with Poster(second.url) as poster, AsyncClient(servers, retry=QUICK) as client:
        await poster.ingest(series, *rows(60, 600))
        async with copied(client, series, since=0) as copy:
            await copy.until(lambda copy: copy.of(Live))
            await asyncio.to_thread(first.kill)
            await poster.ingest(series, *rows(660, 720), row(120, 1.25))
            await copy.until(lambda copy: has(720)(copy) and has(120, 1.25)(copy))
            assert len(copy.of(Interrupted)) >= 1
            await asyncio.to_thread(lambda: first.start().wait_ready())
            await asyncio.to_thread(second.terminate)
            async with Poster(first.url) as other:
                await other.ingest(series, *rows(780, 900))
                await copy.until(has(900))
                assert copy.closes == await stored(other, series)
        assert not copy.of(Gap) and not copy.of(Reset)
        await asyncio.to_thread(lambda: second.start().wait_ready())


async def test_another_name_of_a_series_is_refused(shared_web):
    async with AsyncClient(shared_web.url) as client:
        with pytest.raises(BadRequest) as refused:
            await anext(client.follow("binance:futures:BTC/USDT:60m", since=60))
    assert refused.value.code == "series_alias"
