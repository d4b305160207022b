"""One closed candle from POST to the watcher's socket, against its three unavoidable parts.

Ours: `POST /api/market/ingest/candle_closed` to one web process; the watcher is connected to the
same or to another. The limit: one upsert and commit, one message over the bus, one WebSocket send,
in a row, with nothing around them.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import time
from http import HTTPStatus
from typing import Any

import orjson
import psycopg2
import redis.asyncio

from lab.benchmarks.harness import Comparison, Target, interleave_async, percentile, print_machine
from lab.benchmarks.stack import TOKEN, bare, stack, web
from lab.benchmarks.watchers import Watchers

SERIES = "binance:futures:BTC/USDT:1m"
TIMES = itertools.count(1_600_000_020, 60)
CHANNEL = "bare"
DELIVERIES_A_ROUND = 50
PAUSE_S = 0.01

UPSERT = """
INSERT INTO candles VALUES (999999, %(candle_time)s, %(open)s, %(high)s, %(low)s, %(close)s,
    %(volume)s)
ON CONFLICT (series_id, candle_time) DO UPDATE SET close = excluded.close
"""


def body(candle_time: int) -> dict[str, Any]:
    """A candle of usual length."""
    prices = {"open": 64210.5, "high": 64333.25, "low": 64180.75, "close": 64300.5}
    return {"candle_time": candle_time, **prices, "volume": 182.337}


class Ours:
    """Posts to a web process over one kept connection."""

    def __init__(
        self, watchers: Watchers, streams: tuple[asyncio.StreamReader, asyncio.StreamWriter]
    ):
        self._watchers = watchers
        self._reader, self._writer = streams

    async def deliver(self) -> float:
        """Milliseconds from the request's first byte to the watcher's message."""
        candle = body(next(TIMES))
        payload = orjson.dumps({"series_id": SERIES, "candle": candle})
        self._watchers.expect(b'candle_time":%d' % candle["candle_time"])
        start = time.perf_counter()
        self._writer.write(
            b"POST /api/market/ingest/candle_closed HTTP/1.1\r\nHost: 127.0.0.1\r\n"
            b"Content-Type: application/json\r\nAuthorization: Bearer %s\r\n"
            b"Content-Length: %d\r\n\r\n%s" % (TOKEN.encode(), len(payload), payload)
        )
        await self._answer()
        return 1000 * ((await self._watchers.arrivals())[0] - start)

    async def _answer(self) -> None:
        head = (await asyncio.wait_for(self._reader.readuntil(b"\r\n\r\n"), 10)).lower()
        length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0])
        answer = await self._reader.readexactly(length)
        if int(head.split()[1]) != HTTPStatus.OK:
            raise RuntimeError(answer.decode())


class Limit:
    """Commits, publishes, and waits for the bare server's send."""

    def __init__(self, watchers: Watchers, bus: redis.asyncio.Redis) -> None:
        self._watchers = watchers
        self._bus = bus
        self._connection = psycopg2.connect(os.environ["DATABASE_URL"])

    async def deliver(self) -> float:
        """Milliseconds from the statement to the watcher's message."""
        candle = body(next(TIMES))
        self._watchers.expect(b'candle_time":%d' % candle["candle_time"])
        start = time.perf_counter()
        with self._connection, self._connection.cursor() as cursor:
            cursor.execute(UPSERT, candle)
        message = {"type": "candle_closed", "series_id": SERIES, "candle": candle}
        await self._bus.publish(CHANNEL, orjson.dumps(message))
        return 1000 * ((await self._watchers.arrivals())[0] - start)


async def median_of(side: Ours | Limit) -> float:
    """A round: the median over several deliveries."""
    figures = []
    for _ in range(DELIVERIES_A_ROUND):
        figures.append(await side.deliver())
        await asyncio.sleep(PAUSE_S)
    return percentile(figures, 0.5)


async def compare(title: str, post_url: str, watch_url: str, limit_url: str) -> Comparison:
    """Post at one web process, watch at another (or the same)."""
    ours, bare_ones = Watchers(), Watchers()
    hello: dict[str, object] = {"type": "subscribe", "series_id": SERIES, "since": next(TIMES)}
    await ours.connect(watch_url, "/ws/market", 1, hello)
    await bare_ones.connect(limit_url, "/", 1, hello)
    streams = await asyncio.open_connection(*post_url.removeprefix("http://").split(":"))
    async with redis.asyncio.Redis.from_url(os.environ["REDIS_URL"]) as bus:
        a, b = Ours(ours, streams), Limit(bare_ones, bus)
        figures = await interleave_async(lambda: median_of(a), lambda: median_of(b))
    await ours.leave()
    await bare_ones.leave()
    streams[1].close()
    return Comparison(title, "ms", *figures, Target(2))


def main() -> None:
    """Print the comparisons."""
    print_machine()
    with (
        stack() as installation,
        web(installation) as one,
        web(installation) as other,
        bare(installation, "hop", installation.valkey.url, CHANNEL) as limit,
    ):
        for title, watched in (("same instance", one), ("another instance", other)):
            urls = (one.url, watched.url, limit.url)
            print(asyncio.run(compare(f"POST to watcher, {title}", *urls)), flush=True)


if __name__ == "__main__":
    main()
