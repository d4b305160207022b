"""What a page in a browser does beside its candles: its first load, drawings, lists.

It makes the requests of `frontend/src` with the same pauses, over connections and with a cache of
its own. Only what the gate judges is parsed, once for all pages of a process that read the same.
"""

from __future__ import annotations

import asyncio
import random
import re
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable, Mapping
from functools import lru_cache
from typing import Any, Protocol
from urllib.parse import urlencode

import aiohttp
import orjson

from lab.browser_drawings import (
    PAST,
    WINDOW,
    Answer,
    BrowserDrawings,
    Changed,
    Shown,
    plain,
    shown_in,
)
from market.api.candle_answer import COMPACT_TYPE
from market.domain.history_format import HEADER, MAGIC

ACCEPT_CANDLES = f"{COMPACT_TYPE}, application/json;q=0.9"
TIMEOUT_S = 15.0
CONNECTIONS = 6
RANGE_LIMIT = 5000
STREAM_INTERVAL_S = 5
RANKING_S, REST_S = 10.0, 60.0
REWRITTEN_S, REWRITTEN_SPREAD_S = 0.4, 0.6
KEEP_AFTER_S, LEAST_KEPT = 5.0, 1000
CANCEL_AGAIN_S = 0.5
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 10.0
ASSET = re.compile(rb'(?:src|href)="(/[^"]+\.(?:js|css|svg))"')
CANDLES, HISTORY = "/api/market/candles", "/api/market/history"
RANKING, RANKING_STREAM = "/api/market/top_markets", "/api/market/top_markets/stream"
REQUESTS, HTTP_BYTES, ASSETS = "requests ", "bytes over HTTP", "assets"
FAILED = "failed requests"


class Record(Protocol):
    """Where pages count what they did."""

    counts: Counter[str]

    def note(self, text: str) -> None:
        """Keep something for the report."""


def candle_facts(answer: Answer) -> tuple[int | None, int | None]:
    """Return the newest open time of a candle page in either form, and the server's head."""
    newest, head = _facts_of(answer.body)
    named = answer.headers.get("X-Server-Head-Time")
    return newest, int(named) if named else head


@lru_cache(maxsize=256)
def _facts_of(body: bytes) -> tuple[int | None, int | None]:
    content = plain(body)
    if content.startswith(MAGIC):
        return newest_in_columns(content), None
    page = orjson.loads(content)
    candles = page["candles"]
    return (candles[-1]["candle_time"] if candles else None), page["server_head_time"]


def newest_in_columns(content: bytes) -> int | None:
    """Return the newest open time in candles of docs/history-format.md, by their times only."""
    _, count, first, step, _, _, width, *_, odd = HEADER.unpack_from(content)
    at = HEADER.size + 12 * odd
    planes = (sum(content[at + n * count : at + (n + 1) * count]) << 8 * n for n in range(width))
    return first + (count - 1) * step + sum(planes) if count else None


@lru_cache(maxsize=512)
def one_copy(body: bytes) -> bytes:
    """Return an equal body that was given before, so that a thousand pages keep one."""
    return body


async def end_tasks(tasks: Iterable[asyncio.Task[None]]) -> None:
    """Cancel tasks until they have ended: a request that is connecting may lose a cancellation."""
    running = set(tasks)
    while running:
        for task in running:
            task.cancel()
        _, running = await asyncio.wait(running, timeout=CANCEL_AGAIN_S)


class BrowserPage:
    """One page that shows one series, of which it first requests so many candles.

    `changed` is called as BrowserDrawings calls it.
    """

    def __init__(
        self,
        url: str,
        series: str,
        *,
        candles: int,
        record: Record,
        changed: Changed,
    ) -> None:
        self.url = url
        """Where the next requests go."""
        self.known: dict[str, object] = {}
        """Epoch and generation of its candles."""
        self.drawings = BrowserDrawings(series, self, counts=record.counts, changed=changed)
        self._series = series
        self._candles = candles
        self._record = record
        self._session: aiohttp.ClientSession | None = None
        self._kept: dict[str, tuple[str, Answer]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def load(self) -> int | None:
        """Load the page and its candles; return the newest candle.

        Drawings and lists are requested at the same time and later, as the page does.
        """
        document = await self.get("/")
        await asyncio.gather(*(self.get(path.decode()) for path in ASSET.findall(document.body)))
        self._begin(self._follow_ranking())
        # Again only when the user comes back to the page, or clicks.
        self._begin(self._get_whole("/api/market/whitelist"))
        self._begin(self.drawings.follow())
        newest = await self._read_candles()
        self._begin(self._get_whole("/api/factor/catalog"))
        # The tick of its prices, where the ranking did not have it.
        symbol = self._series.rpartition(":")[0]
        self._begin(self._get_whole("/api/market/symbols", {"query": symbol, "limit": "1"}))
        self._begin(self._keep_history())
        return newest

    def subscription(self) -> dict[str, object]:
        """Return what a subscribe names besides series and `since`."""
        self.drawings.subscribed()
        return {**self.known, "drawings": self.drawings.cursor}

    def rewritten(self) -> None:
        """Candles or drawings were rewritten: the drawings are read again after a moment."""
        delay = REWRITTEN_S + REWRITTEN_SPREAD_S * random.random()
        self._begin(_after(delay, self.drawings.rewritten))

    async def is_stored(self, shown: Shown) -> bool:
        """Return whether the server stored these drawings for the candle that they belong to."""
        query = {"series_id": self._series, "at_time": str(shown.to_time)}
        query |= {"window_candles": WINDOW, "factor_slices": "false"}
        answer = await self._get_whole(PAST, query)
        return answer.status == 200 and shown_in(answer.body, None).versions == shown.versions

    async def close(self) -> None:
        """End all requests and connections."""
        self.drawings.close()
        await end_tasks(self._tasks)
        if self._session is not None:
            await self._session.close()

    async def get(self, path: str, query: Mapping[str, str] | None = None) -> Answer:
        """Request something, and revalidate what is in the cache."""
        address = f"{path}?{urlencode(query)}" if query else path
        kept = self._kept.get(address)
        headers = {"If-None-Match": kept[0]} if kept else {}
        if path == CANDLES:
            headers["Accept"] = ACCEPT_CANDLES
        is_chunk = path.startswith(f"{HISTORY}/")
        kind = ASSETS if "." in path else f"{HISTORY}/NAME" if is_chunk else path
        self._record.counts[REQUESTS + kind] += 1
        try:
            async with self._open().get(self.url + address, headers=headers) as response:
                body = await response.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            self._record.counts[FAILED] += 1
            self._record.note(f"{path}: {error!r}")
            return Answer(0)
        self._record.counts[HTTP_BYTES] += len(body)
        if response.status == 304 and kept:
            return kept[1]
        answer = Answer(response.status, one_copy(body), response.headers)
        if response.status == 200 and (tag := response.headers.get("ETag")):
            self._kept[address] = tag, answer
        if response.status >= 400 and response.status != 404:
            self._record.counts[FAILED] += 1
            self._record.note(f"{path} answers {response.status}")
        return answer

    async def _get_whole(self, path: str, query: Mapping[str, str] | None = None) -> Answer:
        """Repeat a request until trying again would not help."""
        pause = FIRST_PAUSE_S
        while (answer := await self.get(path, query)).status in (0, 408, 429) or (
            answer.status >= 500
        ):
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))
            pause = min(2 * pause, LONGEST_PAUSE_S)
        return answer

    async def _read_candles(self) -> int | None:
        """Read the newest page, and further ones up to the server's head."""
        newest: int | None = None
        while True:
            query = {"series_id": self._series, "limit": str(self._candles)}
            if newest is not None:
                query |= {"limit": str(RANGE_LIMIT), "since": str(newest)}
            answer = await self._get_whole(CANDLES, query)
            if answer.status != 200:
                return newest
            if newest is None:
                epoch, generation = (
                    answer.headers.get(f"X-Series-{name}") for name in ("Epoch", "Generation")
                )
                self.known = {"epoch": epoch and int(epoch), "generation": generation}
                self.drawings.begin_read()
            last, head = candle_facts(answer)
            if last is None or head is None or last >= head:
                return last or newest
            newest = last

    async def _keep_history(self) -> None:
        """Read the newest chunk of history some time later, for the cache."""
        await asyncio.sleep(KEEP_AFTER_S)
        index = await self.get(HISTORY, {"series_id": self._series})
        chunks = orjson.loads(plain(index.body))["chunks"] if index.status == 200 else []
        if chunks and chunks[-1]["candles"] >= LEAST_KEPT:
            await self.get(f"{HISTORY}/{chunks[-1]['name']}", {"series_id": self._series})

    async def _follow_ranking(self) -> None:
        """Ask for the top markets and then stream them, as a page with its list open does.

        When no stream is to be had, they are polled for a minute.
        """
        exchange, market, _ = self._series.split(":", 2)
        query = {
            "exchange": exchange,
            "market": market,
            "quote_asset": "USDT",
            "limit": "20",
            "ticks": "1",
        }
        rests_until = 0.0
        while (await self._get_whole(RANKING, query)).status == 200:
            if time.monotonic() >= rests_until and not await self._stream_ranking(query):
                rests_until = time.monotonic() + REST_S
            await asyncio.sleep(RANKING_S)

    async def _stream_ranking(self, query: Mapping[str, str]) -> bool:
        """Read the stream to its end; return whether there was one."""
        self._record.counts[REQUESTS + RANKING_STREAM] += 1
        address = f"{RANKING_STREAM}?{urlencode({**query, 'interval_s': STREAM_INTERVAL_S})}"
        endless = aiohttp.ClientTimeout(total=None, sock_connect=TIMEOUT_S)
        try:
            async with self._open().get(self.url + address, timeout=endless) as response:
                async for chunk in response.content.iter_any():
                    self._record.counts[HTTP_BYTES] += len(chunk)
                return response.status == 200
        except (aiohttp.ClientError, OSError):
            return False
        finally:
            self._record.counts["streams ended"] += 1

    def _begin(self, work: Coroutine[Any, Any, object]) -> None:
        """Do something until the page is closed."""

        async def do() -> None:
            await work

        task = asyncio.create_task(do())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit_per_host=CONNECTIONS),
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"Accept-Encoding": "gzip", "Cache-Control": "max-age=0"},
                auto_decompress=False,
                timeout=aiohttp.ClientTimeout(total=TIMEOUT_S),
            )
        return self._session


async def _after(seconds: float, act: Callable[[], None]) -> None:
    await asyncio.sleep(seconds)
    act()
