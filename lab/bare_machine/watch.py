"""Watches a series through the proxy until SIGTERM, and prints as JSON what it received.

Runs on the machine, under the Python of the release: `watch.py URL SERIES CERTIFICATES`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import ssl
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import aiohttp

PAUSE_S = 0.25
RETRY_S = 0.2
# Appears with the first candle; contains the process id.
READY = Path("/srv/watching")
STEP_S = 1


class Watch:
    """One watcher and one reader of pages."""

    def __init__(self, url: str, series: str) -> None:
        self.url = url
        self.series = series
        self.times: list[int] = []
        self.counts: Counter[str] = Counter()

    async def follow(self, session: aiohttp.ClientSession) -> None:
        """Follow the series for ever, over as many connections as it takes."""
        while True:
            with contextlib.suppress(aiohttp.ClientError, OSError):
                async with session.ws_connect(f"{self.url}/ws/market") as socket:
                    self.counts["connections"] += 1
                    since = self.times[-1] if self.times else None
                    body = {"type": "subscribe", "series_id": self.series, "since": since}
                    await socket.send_json({**body, "supports_batch": True})
                    async for message in socket:
                        self.take(json.loads(message.data))
            await asyncio.sleep(RETRY_S)

    def take(self, message: dict[str, Any]) -> None:
        """Note a message."""
        self.counts[message["type"]] += 1
        if message["type"] == "candle_closed":
            self.times.append(message["candle"]["candle_time"])
        elif message["type"] == "candles_batch":
            self.times += [each["candle_time"] for each in message["candles"]]
        if self.times and not READY.exists():
            READY.write_text(str(os.getpid()))

    async def read(self, session: aiohttp.ClientSession) -> None:
        """Read the page and candles over and over, and count what is not answered with 200."""
        paths = ("/", f"/api/market/candles?series_id={self.series}&limit=1", "/static/notice.txt")
        while True:
            for path in paths:
                try:
                    async with session.get(self.url + path) as response:
                        await response.read()
                        self.counts["answers"] += response.status == 200
                        self.counts["refused"] += response.status != 200
                except (aiohttp.ClientError, OSError):
                    self.counts["refused"] += 1
            await asyncio.sleep(PAUSE_S)

    def result(self) -> dict[str, int]:
        """Return the counts, with `lost`, `duplicated` and `out_of_order` candles."""
        newest, seen = 0, set(self.times)
        disorder = 0
        for each in self.times:
            disorder += each < newest
            newest = max(newest, each)
        span = (max(seen) - min(seen)) // STEP_S + 1 if seen else 0
        figures = {"lost": span - len(seen), "duplicated": len(self.times) - len(seen)}
        return {**self.counts, **figures, "out_of_order": disorder, "candles": len(seen)}


async def main(url: str, series: str, certificates: str) -> None:
    """Watch until SIGTERM."""
    watch = Watch(url, series)
    stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    trust = ssl.create_default_context(cafile=certificates)
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=5, sock_read=60)
    connector = aiohttp.TCPConnector(ssl=trust)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
        tasks = [asyncio.create_task(each(session)) for each in (watch.follow, watch.read)]
        await stopping.wait()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    print(json.dumps(watch.result()))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:4]))
