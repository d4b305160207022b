"""The watchers' process against a server that does as it is told."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager

import pytest
from websockets.asyncio.server import serve

from lab.capacity.crowd import Crowd
from lab.capacity.watcher import Order
from trade_canvas.embedded.server import free_port

SERIES = "sim:spot:BTC/USDT:1m"
HEAD = 6000
STORED = [6060, 6120, 6180, 6240]


def candle(time):
    return {"candle_time": time, "open": 1, "high": 1, "low": 1, "close": 1, "volume": 1}


def closed(*times):
    if len(times) == 1:
        return {"type": "candle_closed", "series_id": SERIES, "candle": candle(times[0])}
    return {"type": "candles_batch", "series_id": SERIES, "candles": [candle(t) for t in times]}


def gap(expected, actual):
    times = {"expected_next_time": expected, "actual_time": actual}
    return {"type": "gap", "series_id": SERIES, **times}


class FakeWeb:
    """Sends every watcher the messages of `script`, then a forming candle."""

    def __init__(self):
        self.script = []
        self.subscribed = []
        self.connections = []
        self.after = [6120, 6180, 6240]

    @asynccontextmanager
    async def running(self):
        async with serve(self._talk, "127.0.0.1", 0, process_request=self._answer) as server:
            self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            yield self

    def _answer(self, connection, request):
        if request.path.startswith("/ws"):
            return None
        times = self.after if "since" in request.path else [HEAD]
        return connection.respond(200, json.dumps({"candles": [candle(t) for t in times]}))

    async def _talk(self, connection):
        self.connections.append(connection)
        self.subscribed.append(json.loads(await connection.recv()))
        forming = {"type": "candle_forming", "series_id": SERIES, "candle": candle(6300)}
        for message in [*self.script, forming]:
            await connection.send(json.dumps(message, separators=(",", ":")))
        await connection.wait_closed()


@asynccontextmanager
async def watching(tmp_path, *webs, watchers=2):
    """A crowd on these webs; its calls block, so they are made from a thread."""
    order = Order(urls=tuple(web.url for web in webs), series=(SERIES,), watchers=watchers)
    crowd = Crowd(order, log=tmp_path / "watchers.log")
    try:
        yield crowd
    finally:
        await asyncio.to_thread(crowd.close)


async def counted(crowd, name, count):
    """Wait until the watchers have counted so many."""
    async with asyncio.timeout(20):
        while (await asyncio.to_thread(crowd.status))["counts"].get(name) != count:
            pass


async def attached(crowd):
    joined = await asyncio.to_thread(crowd.attach)
    assert (joined.asked, joined.live) == (2, 2)


async def finished(crowd, expected=STORED):
    return await asyncio.to_thread(crowd.finish, {SERIES: expected})


async def test_watchers_count_what_all_of_them_were_told(tmp_path):
    web = FakeWeb()
    web.script = [closed(6060), closed(6120, 6180), closed(6240)]
    async with web.running(), watching(tmp_path, web) as crowd:
        await attached(crowd)
        told = await finished(crowd)
    assert (told.tally.expected, told.tally.delivered, told.tally.missing) == (8, 8, 0)
    assert [ask["since"] for ask in web.subscribed] == [HEAD, HEAD]


@pytest.mark.parametrize(
    ("script", "wrong"),
    [
        ([closed(6060), closed(6120), closed(6240)], {"missing": 2}),
        ([closed(6060), closed(6060), *map(closed, STORED[1:])], {"duplicates": 2}),
        ([closed(6060), closed(6180), closed(6120), closed(6240)], {"disorder": 2}),
        ([*map(closed, STORED[:-1]), closed(6240), closed(6300)], {}),
    ],
)
async def test_watchers_tell_what_is_wrong(tmp_path, script, wrong):
    web = FakeWeb()
    web.script = script
    async with web.running(), watching(tmp_path, web) as crowd:
        await attached(crowd)
        tally = (await finished(crowd)).tally
    for name in ("missing", "duplicates", "disorder", "phantom"):
        assert getattr(tally, name) == wrong.get(name, 0), name


async def test_watchers_resume_elsewhere_with_what_they_have(tmp_path):
    one, other = FakeWeb(), FakeWeb()
    one.script, other.script = [closed(6060)], [closed(6120, 6180, 6240)]
    async with one.running(), other.running(), watching(tmp_path, one, other) as crowd:
        await asyncio.to_thread(crowd.move, [one.url])
        await attached(crowd)
        await asyncio.to_thread(crowd.move, [other.url])
        storm = await asyncio.to_thread(crowd.storm)
        told = await finished(crowd)
    assert storm.live == 2
    assert [ask["since"] for ask in other.subscribed] == [6060, 6060]
    assert (told.tally.delivered, told.tally.missing, told.tally.duplicates) == (8, 0, 0)
    assert told.counts["closed_1006"] == 2


async def test_watchers_come_back_after_a_close_by_the_server(tmp_path):
    web = FakeWeb()
    async with web.running(), watching(tmp_path, web) as crowd:
        await attached(crowd)
        web.script = [closed(*STORED)]
        for connection in list(web.connections):
            await connection.close(1001)
        await counted(crowd, "closed_frames", 2)
        told = await finished(crowd)
    assert (told.counts["closed_1001"], told.tally.delivered) == (2, 8)


async def test_watchers_go_elsewhere_when_nobody_answers(tmp_path):
    web = FakeWeb()
    web.script = [closed(*STORED)]
    async with web.running(), watching(tmp_path, web) as crowd:
        await attached(crowd)
        nobody = f"http://127.0.0.1:{free_port()}"
        await asyncio.to_thread(crowd.move, [nobody, web.url])
        storm = await asyncio.to_thread(crowd.storm)
        tally = (await finished(crowd)).tally
    assert storm.live == 2
    assert (tally.delivered, tally.missing) == (8, 0)


async def test_watchers_read_a_named_hole_over_http(tmp_path):
    web = FakeWeb()
    web.script = [closed(6060), gap(6120, 6240), closed(6240)]
    async with web.running(), watching(tmp_path, web) as crowd:
        await attached(crowd)
        await counted(crowd, "recovered", 2)
        tally = (await finished(crowd)).tally
    assert (tally.gaps, tally.delivered, tally.recovered, tally.missing) == (2, 4, 4, 0)
