"""Crowds of watchers against a scripted server."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager

import pytest

from lab.client import Order
from lab.crowd import Crowd
from lab.program import LabFailed
from lab.tests.fake_web import HEAD, SERIES, STORED, FakeWeb, candle, closed, gap
from lab.waiting import eventually, wait_until
from trade_canvas.embedded.server import free_port


@asynccontextmanager
async def watching(tmp_path, *webs, processes=1, **more):
    """A crowd of two on these webs; its calls block, so they are made from a thread."""
    urls = tuple(web.url for web in webs)
    order = Order(urls=urls, series=(SERIES,), watchers=2, **more)
    crowd = Crowd(order, processes=processes, log=tmp_path / "watchers.log")
    try:
        yield crowd
    finally:
        await asyncio.to_thread(crowd.close)


async def counted(crowd, name, count):
    """Wait until the watchers have counted so many."""
    await asyncio.to_thread(wait_until, lambda: crowd.counts()[name] == count)


async def attached(crowd):
    joined = await asyncio.to_thread(crowd.attach)
    assert (joined.asked, joined.live) == (2, 2)


async def finished(crowd, expected=STORED):
    return await asyncio.to_thread(crowd.finish, {SERIES: expected})


async def test_watchers_count_everything_they_received(tmp_path):
    web = FakeWeb()
    web.script = [closed(6060), closed(6120, 6180), closed(6240)]
    async with web.running(), watching(tmp_path, web) as crowd:
        await attached(crowd)
        received = await finished(crowd)
    assert (received.tally.expected, received.tally.delivered, received.tally.missing) == (8, 8, 0)
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
async def test_watchers_count_what_is_wrong(tmp_path, script, wrong):
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
        received = await finished(crowd)
    assert storm.live == 2
    assert [ask["since"] for ask in other.subscribed] == [6060, 6060]
    assert (received.tally.delivered, received.tally.missing, received.tally.duplicates) == (
        8,
        0,
        0,
    )
    assert received.counts["closed_1006"] == 2


async def test_watchers_come_back_after_a_close_by_the_server(tmp_path):
    web = FakeWeb()
    async with web.running(), watching(tmp_path, web) as crowd:
        await attached(crowd)
        web.script = [closed(*STORED)]
        for connection in list(web.connections):
            await connection.close(1001)
        await counted(crowd, "closed_frames", 2)
        received = await finished(crowd)
    assert (received.counts["closed_1001"], received.tally.delivered) == (2, 8)


async def test_watchers_go_elsewhere_when_an_address_refuses(tmp_path):
    web = FakeWeb()
    web.script = [closed(*STORED)]
    async with web.running(), watching(tmp_path, web) as crowd:
        await attached(crowd)
        closed_port = f"http://127.0.0.1:{free_port()}"
        await asyncio.to_thread(crowd.move, [closed_port, web.url])
        storm = await asyncio.to_thread(crowd.storm)
        tally = (await finished(crowd)).tally
    assert storm.live == 2
    assert (tally.delivered, tally.missing) == (8, 0)


async def test_watchers_read_a_gap_over_http(tmp_path):
    web = FakeWeb()
    web.script = [closed(6060), gap(6120, 6240), closed(6240)]
    async with web.running(), watching(tmp_path, web) as crowd:
        await attached(crowd)
        await counted(crowd, "recovered", 2)
        tally = (await finished(crowd)).tally
    assert (tally.gaps, tally.delivered, tally.recovered, tally.missing) == (2, 4, 4, 0)


@pytest.mark.parametrize("processes", [1, 2])
async def test_watchers_notice_that_they_received_different_values(tmp_path, processes):
    web = FakeWeb()
    web.script = [closed(*STORED)]
    web.scripts[1] = [closed(6060), {**closed(6120), "candle": {**candle(6120), "close": 2}}]
    async with web.running(), watching(tmp_path, web, processes=processes) as crowd:
        await attached(crowd)
        tally = (await finished(crowd)).tally
    assert (tally.differing, tally.missing) == (1, 2)


async def test_watchers_subscribe_again_after_an_error(tmp_path):
    web = FakeWeb()
    web.script = [closed(6060), {"type": "error", "code": "unavailable", "series_id": SERIES}]
    async with web.running(), watching(tmp_path, web) as crowd:
        await attached(crowd)
        await eventually(lambda: len(web.subscribed) >= 4)
        received = await finished(crowd)
    assert {ask["since"] for ask in web.subscribed[2:]} == {6060}
    assert received.counts["error"] == 2


async def test_watchers_are_whole_while_they_are_up_to_date(tmp_path, monkeypatch):
    web = FakeWeb()
    web.script = [closed(*STORED)]
    end = STORED[-1] + 60
    async with web.running(), watching(tmp_path, web, late_s=3.0) as crowd:
        # A clock that runs would leave them behind on a machine that is slow to connect them.
        await asyncio.to_thread(crowd.adjust, clock_stands_at_s=end)
        await attached(crowd)
        await asyncio.to_thread(crowd.adjust, forget_lag=True)
        began = time.monotonic()
        since = await asyncio.to_thread(crowd.wait_until_whole, 10, for_s=0.1, after=began)
        await asyncio.to_thread(crowd.adjust, clock_stands_at_s=end + 60)
        monkeypatch.setenv("TEST_PATIENCE", "1")
        with pytest.raises(LabFailed, match="0 not connected, at most 60.0 s behind"):
            await asyncio.to_thread(crowd.wait_until_whole, 0.5, for_s=0.5, after=time.monotonic())
        received = await finished(crowd)
    assert since <= time.monotonic()
    assert received.most_behind_s == 60


async def test_watchers_replace_a_silent_connection(tmp_path):
    web = FakeWeb()
    async with web.running(), watching(tmp_path, web, silent_s=0.5) as crowd:
        await attached(crowd)
        web.script = [closed(*STORED)]
        await counted(crowd, "closed_frames", 2)
        assert (await finished(crowd)).counts["closed_1006"] >= 2
