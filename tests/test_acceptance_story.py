"""The story of the contract: what instance A ingests, watchers of instance B get, once."""

from __future__ import annotations

import asyncio

from tests.clients import Client

SERIES = "story:futures:BTC/USDT:1m"
FIRST = (1_700_000_000, 100, 101, 99, 100.5, 10)
SECOND = (1_700_000_060, 100.5, 102, 100, 101.2, 11)
THIRD = (1_700_000_120, 101.2, 103, 101, 102.4, 12)


def test_two_instances_one_truth(session_stack, shared_web):
    another = session_stack.web()
    asyncio.run(story(shared_web, another))
    another.terminate()


async def story(instance_a, instance_b):
    async with Client(instance_a.url) as a, Client(instance_b.url) as b:
        await a.ingest(SERIES, FIRST, SECOND)
        watcher = await b.follow(SERIES, since=SECOND[0])
        # Nothing to catch up is not acknowledged; an answer to nonsense comes after the subscribe.
        await watcher.send(type="noop")
        assert (await watcher.next())["type"] == "error"
        await a.ingest(SERIES, THIRD)
        message = await watcher.next()
        assert (message["type"], message["candle"]["candle_time"]) == ("candle_closed", THIRD[0])
        assert await watcher.silence()
        rows = await b.candles(SERIES, since=SECOND[0])
        assert rows[-1]["candle_time"] == THIRD[0]
