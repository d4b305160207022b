"""One closed candle from POST to the watcher's socket, against its three unavoidable parts.

Ours: `POST /api/market/ingest/candle_closed` to one web process; the watcher is connected to the
same or to another. The limit: one upsert and commit, one message over the bus, one WebSocket send,
in a row, with nothing around them.
"""

from __future__ import annotations

import asyncio
import itertools
from contextlib import closing
from functools import partial
from http import HTTPStatus
from typing import Any

import orjson
import psycopg2
import redis.asyncio

from lab.benchmarks.harness import Comparison, Target, interleave_async, percentile, print_machine
from lab.benchmarks.samples import FIRST, body
from lab.benchmarks.stack import TOKEN, bare, stack, web
from lab.benchmarks.watchers import Watchers
from lab.installation import Installation
from lab.program import Program

SERIES = "binance:futures:BTC/USDT:1m"
TIMES = itertools.count(FIRST, 60)
CHANNEL = "bare"
DELIVERIES_A_ROUND = 50
PAUSE_S = 0.01
ANSWER_S = 10

UPSERT = """
INSERT INTO candles (series_id, candle_time, open, high, low, close, volume)
VALUES (999999, %(candle_time)s, %(open)s, %(high)s, %(low)s, %(close)s, %(volume)s)
ON CONFLICT (series_id, candle_time) DO UPDATE SET close = excluded.close
"""


class Ours:
    """Posts to a web process over one kept connection."""

    def __init__(
        self, watchers: Watchers, streams: tuple[asyncio.StreamReader, asyncio.StreamWriter]
    ) -> None:
        self.watchers = watchers
        self._reader, self._writer = streams

    async def send(self, candle: dict[str, Any]) -> None:
        """Post a candle and wait for the answer."""
        payload = orjson.dumps({"series_id": SERIES, "candle": candle})
        self._writer.write(
            b"POST /api/market/ingest/candle_closed HTTP/1.1\r\nHost: 127.0.0.1\r\n"
            b"Content-Type: application/json\r\nAuthorization: Bearer %s\r\n"
            b"Content-Length: %d\r\n\r\n%s" % (TOKEN.encode(), len(payload), payload)
        )
        head = (await asyncio.wait_for(self._reader.readuntil(b"\r\n\r\n"), ANSWER_S)).lower()
        length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0])
        answer = await self._reader.readexactly(length)
        if int(head.split()[1]) != HTTPStatus.OK:
            raise RuntimeError(answer.decode())


class Limit:
    """Commits, and publishes to the bare server."""

    def __init__(self, watchers: Watchers, connection: Any, bus: redis.asyncio.Redis) -> None:
        self.watchers = watchers
        self._connection = connection
        self._bus = bus

    async def send(self, candle: dict[str, Any]) -> None:
        """Commit and publish a candle."""
        with self._connection, self._connection.cursor() as cursor:
            cursor.execute(UPSERT, candle)
        message = {"type": "candle_closed", "series_id": SERIES, "candle": candle}
        await self._bus.publish(CHANNEL, orjson.dumps(message))


async def median_of(side: Ours | Limit) -> float:
    """Return the median over a round of deliveries, in milliseconds."""
    figures = []
    for _ in range(DELIVERIES_A_ROUND):
        candle = body(next(TIMES))
        delays = await side.watchers.delays(candle["candle_time"], partial(side.send, candle))
        figures += delays
        await asyncio.sleep(PAUSE_S)
    return percentile(figures, 0.5)


async def compare(
    title: str, installation: Installation, posted: Program, watched: Program, limit: Program
) -> Comparison:
    """Post at one web process, watch at another (or the same)."""
    ours, theirs = Watchers(), Watchers()
    first: dict[str, object] = {"type": "subscribe", "series_id": SERIES, "since": next(TIMES)}
    await ours.connect(watched.url, "/ws/market", 1, first)
    await theirs.connect(limit.url, "/", 1, first)
    streams = await asyncio.open_connection(*posted.url.removeprefix("http://").split(":"))
    with closing(psycopg2.connect(installation.database_url)) as connection:
        async with redis.asyncio.Redis.from_url(installation.valkey.url) as bus:
            a, b = Ours(ours, streams), Limit(theirs, connection, bus)
            figures = await interleave_async(lambda: median_of(a), lambda: median_of(b))
    await ours.leave()
    await theirs.leave()
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
            comparing = compare(f"POST to watcher, {title}", installation, one, watched, limit)
            print(asyncio.run(comparing), flush=True)


if __name__ == "__main__":
    main()
