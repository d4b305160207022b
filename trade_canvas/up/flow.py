"""Waits until the installation serves, and until candles arrive."""

from __future__ import annotations

import asyncio
import time
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from market.domain.series import SeriesId

POLL_S = 0.25
REQUEST_TIMEOUT_S = 5.0
# How many candles a head may be behind: one is closing, one may be on its way.
FRESH_CANDLES = 3


async def wait_until_listening(base_url: str) -> None:
    """Wait, for as long as it takes, until a server accepts connections there."""
    address = urlsplit(base_url)
    while True:
        try:
            _, writer = await asyncio.open_connection(address.hostname, address.port)
        except OSError:
            await asyncio.sleep(POLL_S)
        else:
            writer.close()
            return


async def wait_until_ready(base_url: str) -> None:
    """Wait, for as long as it takes, until /readyz succeeds."""
    async with _client() as client:
        while True:
            if await _get(client, f"{base_url}readyz") is not None:
                return
            await asyncio.sleep(POLL_S)


async def wait_until_flowing(base_url: str) -> SeriesId:
    """Wait, for as long as it takes, until a whitelisted series is up to date; return it."""
    async with _client() as client:
        while True:
            whitelist = await _get(client, f"{base_url}api/market/whitelist") or {}
            for series in map(SeriesId.parse, whitelist.get("series_ids", [])):
                query = {"series_id": str(series), "limit": "1"}
                answer = await _get(client, f"{base_url}api/market/candles", query) or {}
                head = answer.get("server_head_time")
                fresh_s = FRESH_CANDLES * series.timeframe.seconds
                if head is not None and head + fresh_s > time.time():
                    return series
            await asyncio.sleep(POLL_S)


def _client() -> aiohttp.ClientSession:
    # aiohttp uses no proxy of the environment by default: the server is on this machine.
    return aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=REQUEST_TIMEOUT_S))


async def _get(client: aiohttp.ClientSession, url: str, query: dict[str, str] | None = None) -> Any:
    """Return the JSON answer, or None when there is none or it is not a success."""
    try:
        async with client.get(url, params=query) as response:
            return await response.json() if response.ok else None
    except (aiohttp.ClientError, TimeoutError):
        return None
