"""`/ws/debug` between processes: what one web process does shows on the socket of another."""

from __future__ import annotations

import asyncio

import pytest

from tests.clients import Client

SERIES = "binance:futures:DEBUG/USDT:1m"
CANDLE = (60, 1.0, 2.0, 0.5, 1.5, 10.0)


async def of_series(follower, wanted):
    """The names of the series' events, up to the wanted one."""
    names = []
    while wanted not in names:
        message = await follower.next()
        events = message["events"] if message["type"] == "debug_snapshot" else [message["event"]]
        names += [each["event"] for each in events if each["series_id"] == SERIES]
    return names


@pytest.mark.parametrize("kind", ["memory", "shared"])
def test_events_show_in_a_snapshot_and_as_they_happen(request, kind, session_stack):
    web = request.getfixturevalue("shared_web" if kind == "shared" else "one_process")
    other = session_stack.web() if kind == "shared" else web

    async def story():
        async with Client(web.url) as here, Client(other.url) as there:
            watcher = await there.connect("/ws/debug")
            await here.ingest(SERIES, CANDLE)
            live = await of_series(watcher, "write.http.ingest_candle_closed_done")
            await here.candles(SERIES)
            live += await of_series(watcher, "read.http.market_candles")
            await watcher.send(type="nonsense")
            await watcher.send(type="subscribe")
            again = await of_series(watcher, "read.http.market_candles")
            return live, again

    live, again = asyncio.run(story())
    expected = [
        "write.http.ingest_candle_closed_start",
        "write.factor.ingest_done",
        "write.overlay.ingest_done",
        "write.http.ingest_candle_closed_done",
        "read.http.market_candles",
    ]
    assert live == expected
    assert again[-len(expected) :] == expected
    if kind == "shared":
        other.terminate()
