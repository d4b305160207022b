"""Reading 2,000 candles over HTTP, against a bare SELECT with orjson and a constant body.

Uncached: every request is for another page, so that nothing is cached; the limit is an ASGI
application that does the same SELECT and one `orjson.dumps`. Cached: the same page again and again;
as JSON, and as columns; the limit answers a constant body of that size. Both behind uvicorn, with
the same client.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Iterator
from urllib.parse import quote

from lab.benchmarks.harness import Comparison, Target, interleave_async, print_machine
from lab.benchmarks.samples import FIRST, minutes
from lab.benchmarks.stack import bare, stack, web
from market.api.candle_answer import COMPACT_TYPE
from market.domain.series import SeriesId
from market.runtime import pipeline
from trade_canvas.switches import PREFIX

SERIES = SeriesId.parse("binance:futures:BTC/USDT:1m")
STORED = 60_000
ROWS = 2000
CONNECTIONS = 8
UNCACHED_REQUESTS = 200
CACHED_REQUESTS = 2000
FORMS = {"JSON": "*/*", "columns": COMPACT_TYPE}


def fill() -> None:
    """Store the candles that are read."""
    pipeline().ingest(SERIES, minutes(STORED))


class Client:
    """Keeps connections open and counts how fast whole answers come; asks for `accept`."""

    def __init__(self, url: str, accept: str = "*/*") -> None:
        self._accept = accept
        self._address = url.removeprefix("http://")
        host, _, port = self._address.partition(":")
        self._host, self._port = host, int(port)

    def _request(self, path: str) -> bytes:
        headers = f"Host: {self._address}\r\nAccept: {self._accept}\r\n"
        return f"GET {path} HTTP/1.1\r\n{headers}\r\n".encode()

    async def rate(self, paths: Iterator[str], requests: int) -> float:
        """Return answers a second over CONNECTIONS connections, which request the paths in turn."""
        start = time.perf_counter()
        share = requests // CONNECTIONS
        await asyncio.gather(*(self._ask(paths, share) for _ in range(CONNECTIONS)))
        return share * CONNECTIONS / (time.perf_counter() - start)

    async def _ask(self, paths: Iterator[str], requests: int) -> None:
        reader, writer = await asyncio.open_connection(self._host, self._port, limit=2**20)
        for path in itertools.islice(paths, requests):
            writer.write(self._request(path))
            await self._answer(reader, path)
        writer.close()
        await writer.wait_closed()

    async def _answer(self, reader: asyncio.StreamReader, path: str) -> bytes:
        head = (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 20)).lower()
        if b" 200 " not in head.partition(b"\r\n")[0]:
            raise RuntimeError(f"{path}: {head!r}")
        length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0])
        return await reader.readexactly(length)

    async def body(self, path: str) -> bytes:
        """Return one answer's body."""
        reader, writer = await asyncio.open_connection(self._host, self._port, limit=2**20)
        writer.write(self._request(path))
        body = await self._answer(reader, path)
        writer.close()
        return body


def page(since: int) -> str:
    """Return the address of the page after `since`."""
    query = f"series_id={quote(str(SERIES))}&since={since}&limit={ROWS}"
    return f"/api/market/candles?{query}"


async def uncached(our_url: str, limit_url: str) -> Comparison:
    """Compare answers to requests of which each is for another page."""
    ours, limit = Client(our_url), Client(limit_url)
    pages = (page(FIRST + 60 * i + 1) for i in itertools.count())
    a, b = await interleave_async(
        lambda: ours.rate(pages, UNCACHED_REQUESTS),
        lambda: limit.rate(itertools.repeat("/"), UNCACHED_REQUESTS),
    )
    title = f"candle read, {ROWS} rows, uncached"
    our_times, limit_times = ([1000 / rate for rate in side] for side in (a, b))
    return Comparison(title, "ms/answer", our_times, limit_times, Target(1.3))


async def cached(our_url: str, limit_url: str, form: str) -> Comparison:
    """Compare answers to requests for the same page in one form."""
    path = page(FIRST + 60 * 50_000)
    ours, limit = Client(our_url, FORMS[form]), Client(limit_url)
    a, b = await interleave_async(
        lambda: ours.rate(itertools.repeat(path), CACHED_REQUESTS),
        lambda: limit.rate(itertools.repeat("/"), CACHED_REQUESTS),
    )
    title = f"candle read, {ROWS} rows, cached, {form}"
    return Comparison(title, "answers/s", a, b, Target(0.5, at_least=True))


def main() -> None:
    """Print the comparisons."""
    print_machine()
    switches = {f"{PREFIX}ENABLE_COMPACT_HISTORY": "1"}
    with stack() as installation, web(installation, **switches) as ours:
        fill()
        url = installation.database_url
        with bare(installation, "rows", url, str(SERIES), str(ROWS)) as limit:
            print(asyncio.run(uncached(ours.url, limit.url)), flush=True)
        for form, accept in FORMS.items():
            size = len(asyncio.run(Client(ours.url, accept).body(page(FIRST + 60 * 50_000))))
            with bare(installation, "constant", str(size)) as limit:
                print(asyncio.run(cached(ours.url, limit.url, form)), flush=True)


if __name__ == "__main__":
    main()
