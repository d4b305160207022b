"""Waits until the installation serves, and until candles come in."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from market.domain.series import SeriesId

POLL_S = 0.25
REQUEST_TIMEOUT_S = 5.0
# How many candles a head may be behind: one is closing, one may be on its way.
FRESH_CANDLES = 3


async def wait_until_listening(base_url: str) -> None:
    """Wait for as long as it takes until somebody accepts connections there."""
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
    """Wait for as long as it takes until /readyz says so."""
    async with _client() as client:
        while True:
            if await _is_ready(client, base_url):
                return
            await asyncio.sleep(POLL_S)


async def wait_until_flowing(base_url: str) -> SeriesId:
    """Wait for as long as it takes until a whitelisted series is up to date; return it."""
    async with _client() as client:
        while True:
            for series in await _whitelist(client, base_url):
                if await _is_fresh(client, base_url, series):
                    return series
            await asyncio.sleep(POLL_S)


def _client() -> aiohttp.ClientSession:
    # Never through a proxy of the environment (the default): the server is on this machine.
    return aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=REQUEST_TIMEOUT_S))


async def _is_ready(client: aiohttp.ClientSession, base_url: str) -> bool:
    return await _get(client, f"{base_url}readyz") is not None


async def _whitelist(client: aiohttp.ClientSession, base_url: str) -> Sequence[SeriesId]:
    answer = await _get(client, f"{base_url}api/market/whitelist") or {}
    return [SeriesId.parse(text) for text in answer.get("series_ids", [])]


async def _is_fresh(client: aiohttp.ClientSession, base_url: str, series: SeriesId) -> bool:
    parameters = {"series_id": str(series), "limit": "1"}
    answer = await _get(client, f"{base_url}api/market/candles", parameters) or {}
    head = answer.get("server_head_time")
    return head is not None and head + FRESH_CANDLES * series.timeframe.seconds > time.time()


async def _get(
    client: aiohttp.ClientSession, url: str, parameters: dict[str, str] | None = None
) -> Any:
    """Return the JSON answer, or None when there is none or it is not a success."""
    try:
        async with client.get(url, params=parameters) as response:
            return await response.json() if response.ok else None
    except (aiohttp.ClientError, TimeoutError):
        return None
