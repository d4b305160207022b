"""The Python client against real processes: what it reads and follows is what is stored."""

from __future__ import annotations

import asyncio
import itertools
import re
import sys
from contextlib import aclosing, asynccontextmanager
from math import sin
from pathlib import Path

import pytest

from lab.waiting import patience, wait_until
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
    fact_reads,
)

PAGE = Path(__file__).parents[1] / "docs" / "python-client.md"
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


def wave(count):
    """Candles with pens."""
    closes = enumerate((100 + 20 * sin(n / 30) for n in range(count)), 1)
    return [(STEP * n, close, close + 1, close - 1, close, 1.0) for n, close in closes]


def of_page(number, web, series_id):
    """A block of docs/python-client.md, about this server and series."""
    blocks = re.findall(r"^```python[^\n]*\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    block = blocks[number].replace("http://127.0.0.1:8000", web.url)
    return block.replace("sim:futures:BTC/USDT:1m", series_id)


async def test_events_features_and_frames_are_the_servers(shared_web, series):
    async with Poster(shared_web.url) as poster, AsyncClient(shared_web.url) as client:
        await poster.ingest_batch(series, wave(1500))
        events = await client.events(series, end=STEP * 1500)
        pens = await client.events(series, STEP * 200, STEP * 900, kinds=["pen.confirmed"])
        named = ["pen_confirmed_count", "pen_confirmed_direction"]
        features = await client.features(series, columns=named)
        every = await client.features(series)
        frame = await client.frame(series, STEP * 1000)
        page = await poster.get("/api/factor/events", series_id=series, limit=5000)
        same = await poster.get("/api/frame/at_time", series_id=series, at_time=STEP * 1000)
        with pytest.raises(BadRequest) as refused:
            await client.events(series, kinds=["no.such"])
        with pytest.raises(BadRequest, match="unsupported_exchange"):
            await client.symbols("btc", exchange="sim")
    assert [each._asdict() for each in events] == page["events"]
    assert len(pens) > 3
    times = {each.candle_time for each in pens}
    assert min(times) >= STEP * 200 and max(times) <= STEP * 900
    table = features.to_pandas()
    counted = table.loc[table["pen_confirmed_count"].notna(), "candle_time"]
    assert list(table.columns) == ["candle_time", *named]
    assert counted.tolist() == [each.candle_time for each in events if each.kind == "pen.confirmed"]
    assert len(every) == len(features) == 1500
    assert every.to_polars().height == every.to_arrow().num_rows == 1500
    assert frame == same
    assert refused.value.code == "unknown_kind"


async def test_pages_of_events_and_features_belong_together(shared_web, series, monkeypatch):
    """Many pages, a revision between two of them: everything is read again."""
    monkeypatch.setattr(fact_reads, "PAGE_ROWS", 10)
    async with Poster(shared_web.url) as poster, AsyncClient(shared_web.url) as client:
        await poster.ingest_batch(series, wave(1000))
        asked = []

        async def sending(request, retry):
            asked.append(request)
            if len(asked) == 3:
                await poster.ingest(series, (STEP * 50, 300.0, 310.0, 290.0, 305.0, 1.0))
            return await send(request, retry)

        send = client._transport._send
        monkeypatch.setattr(client._transport, "_send", sending)
        events = await client.events(series)
        whole = await poster.get("/api/factor/events", series_id=series, limit=5000)
        assert [each._asdict() for each in events] == whole["events"]
        assert sum(not any(name == "cursor" for name, _ in each.query) for each in asked) == 2
        features = await client.features(series)
        assert list(features.candle_time) == list(range(STEP, STEP * 1001, STEP))


def test_a_frame_with_events_takes_ten_lines(shared_web, series):
    async def stored():
        async with Poster(shared_web.url) as poster:
            await poster.ingest_batch(series, wave(900))

    asyncio.run(stored())
    code = of_page(0, shared_web, series)
    assert len([line for line in code.splitlines() if line]) <= 10
    names = {}
    exec(code, names)
    frame = names["frame"]
    assert len(frame) == 900
    assert "pen.confirmed" in set(frame["events"].dropna().sum())


def test_the_pages_follower_prints_what_closes(shared_stack, series, tmp_path):
    web = shared_stack.web()

    async def stored(*candles):
        async with Poster(web.url) as poster:
            await poster.ingest(series, *candles)

    asyncio.run(stored(row(60), row(120)))
    program = tmp_path / "following.py"
    program.write_text(of_page(1, web, series))
    path = {"PYTHONPATH": str(PAGE.parents[1] / "clients" / "python")}
    running = shared_stack.start("following", [sys.executable, str(program)], path)
    times = itertools.count(180, STEP)
    wait_until(lambda: asyncio.run(stored(row(next(times)))) or running.output(), 20, "a candle")
    assert re.match(r"Candle\(candle_time=\d+, open=1.0, high=2.0, ", running.output())
    missing = next(times)
    asyncio.run(stored(row(missing + STEP)))
    running.wait_for_line(f"the server has no candles from {missing} to before {missing + STEP}")
    running.terminate()


async def test_another_name_of_a_series_is_refused(shared_web):
    async with AsyncClient(shared_web.url) as client:
        with pytest.raises(BadRequest) as refused:
            await anext(client.follow("binance:futures:BTC/USDT:60m", since=60))
    assert refused.value.code == "series_alias"
