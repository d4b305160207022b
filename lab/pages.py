"""Candle pages over HTTP as watchers read them: heads, gaps, and a storm of first page loads."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import orjson

from lab.browser_drawings import plain
from lab.browser_page import ACCEPT_CANDLES
from market.domain.history_format import HEADER, MAGIC

TIMEOUT_S = 60.0
PATH = "/api/market/candles"


@dataclass(slots=True)
class PageLoads:
    """Pages asked for, the seconds of each that came whole, bytes, wall time, and failures."""

    asked: int = 0
    seconds: list[float] = field(default_factory=list)
    bytes: int = 0
    took: float = 0.0
    wrong: Counter[str] = field(default_factory=Counter)

    def add(self, other: PageLoads) -> None:
        """Add those of another process, which ran at the same time."""
        self.asked += other.asked
        self.seconds += other.seconds
        self.bytes += other.bytes
        self.took = max(self.took, other.took)
        self.wrong.update(other.wrong)


class PageReader:
    """Reads candle pages; one for all watchers of a process."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None
        self._lengths: dict[bytes, int] = {}

    async def newest(self, url: str, series: str, limit: int = 1) -> list[int]:
        """Return the newest open times, ascending. Raises aiohttp.ClientError and TimeoutError."""
        return await self._times(url, {"series_id": series, "limit": str(limit)})

    async def after(self, url: str, series: str, since: int) -> list[int]:
        """Return open times after `since`, ascending; none after a failure."""
        try:
            return await self._times(url, {"series_id": series, "since": str(since)})
        except (aiohttp.ClientError, TimeoutError):
            return []

    async def load(self, jobs: Sequence[tuple[str, str]], limit: int) -> PageLoads:
        """Request the newest `limit` candles of every (address, series) at once, as pages do."""
        loads = PageLoads(asked=len(jobs))

        async def one(url: str, series: str) -> None:
            began = time.monotonic()
            try:
                query = {"series_id": series, "limit": str(limit)}
                status, body = await self._page(url, query, accept=ACCEPT_CANDLES)
            except (aiohttp.ClientError, TimeoutError) as error:
                loads.wrong[type(error).__name__] += 1
                return
            took = time.monotonic() - began
            found = self._length(body) if status == 200 else 0
            if found == limit:
                loads.seconds.append(round(took, 4))
                loads.bytes += len(body)
            else:
                loads.wrong[f"status {status}, {found} candles"] += 1

        began = time.monotonic()
        await asyncio.gather(*(one(*job) for job in jobs))
        loads.took = time.monotonic() - began
        return loads

    async def close(self) -> None:
        """Close the kept connections."""
        if self._session is not None:
            await self._session.close()

    async def _times(self, url: str, query: dict[str, str]) -> list[int]:
        status, body = await self._page(url, query)
        if status != 200:
            raise aiohttp.ClientError(f"{url} answers {status}")
        return [candle["candle_time"] for candle in _candles(body)]

    async def _page(
        self, url: str, query: dict[str, str], *, accept: str = "*/*"
    ) -> tuple[int, bytes]:
        headers = {"Accept": accept}
        async with self._open().get(f"{url}{PATH}", params=query, headers=headers) as answer:
            return answer.status, await answer.read()

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                # As many at once as there are pages; compressed as for browsers, and left so:
                # unpacking the same page a thousand times would measure this process.
                connector=aiohttp.TCPConnector(limit=0),
                headers={"Accept-Encoding": "gzip"},
                auto_decompress=False,
                timeout=aiohttp.ClientTimeout(total=TIMEOUT_S),
            )
        return self._session

    def _length(self, body: bytes) -> int:
        key = hashlib.blake2b(body, digest_size=16).digest()
        if key not in self._lengths:
            content = plain(body)
            is_columns = content.startswith(MAGIC)
            self._lengths[key] = (
                HEADER.unpack_from(content)[1] if is_columns else len(_candles(content))
            )
        return self._lengths[key]


def _candles(body: bytes) -> list[dict[str, Any]]:
    candles: list[dict[str, Any]] = orjson.loads(plain(body))["candles"]
    return candles
