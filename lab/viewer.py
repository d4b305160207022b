"""Views of a series as pages have them: merged, revised and dropped as the contract says.

A `Viewer` follows one series over HTTP and the WebSocket of one web process, a `PackageViewer` with
the Python client. A `Tab` reads one page again and again with `If-None-Match`, as a browser does.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Coroutine, Sequence
from concurrent.futures import Future
from contextlib import aclosing, suppress
from typing import Any, Self, TypeVar

import aiohttp

from lab.waiting import patience
from trade_canvas_client import (
    AsyncClient,
    Candles,
    Closed,
    Interrupted,
    Live,
    Reset,
    Retry,
    Revised,
    TradeCanvasError,
    Update,
)

# A line for every request otherwise.
logging.getLogger("httpx").setLevel(logging.WARNING)

T = TypeVar("T")

PATH = "/api/market/candles"
TIMEOUT_S = 20.0
RETRY_S = 0.2

Candle = dict[str, Any]
View = dict[int, Candle]


class Viewer:
    """Follows one series at one address; `view` is what it would show, by open time."""

    def __init__(self, http: aiohttp.ClientSession, url: str, series: str) -> None:
        self.url = url
        self.view: View = {}
        self.is_live = False
        self.duplicated = self.out_of_order = 0
        self._http = http
        self._series = series
        # Of this connection: closed candles must be ascending.
        self._newest: int | None = None
        self._epoch: int | None = None
        self._generation: str | None = None

    async def run(self) -> None:
        """Follow until cancelled; reconnect after every failure."""
        while True:
            with suppress(aiohttp.ClientError, TimeoutError, OSError):
                await self._follow()
            self.is_live = False
            await asyncio.sleep(RETRY_S)

    async def _follow(self) -> None:
        if self._epoch is None:
            await self._read(None, [])
        async with self._http.ws_connect(f"{self.url}/ws/market", heartbeat=TIMEOUT_S) as socket:
            known = {"epoch": self._epoch, "generation": self._generation}
            body = {"type": "subscribe", "series_id": self._series, "supports_batch": True}
            self._newest = None
            await socket.send_json({**body, "since": max(self.view, default=None), **known})
            self.is_live = True
            async for frame in socket:
                await self._take(frame.json())

    async def _take(self, message: dict[str, Any]) -> None:
        kind = message["type"]
        if kind == "candle_closed":
            self._deliver([message["candle"]])
        elif kind == "candles_batch":
            self._deliver(message["candles"])
        elif kind == "gap":
            await self._read(message["expected_next_time"] - 1, [self._epoch or 0])
        elif kind == "error":
            raise aiohttp.ClientError(f"{message['code']}: {message['message']}")
        elif message.get("event") == "candle.revised":
            notice = message["data"]
            if notice["from_time"] == 0:
                self._generation = None
                self.view.clear()
            await self._read(notice["from_time"] - 1, [notice["epoch"]])

    def _deliver(self, candles: Sequence[Candle]) -> None:
        for candle in candles:
            before = -1 if self._newest is None else self._newest
            self.duplicated += candle["candle_time"] == before
            self.out_of_order += candle["candle_time"] < before
            self._newest = candle["candle_time"]
        self._merge(candles)

    async def _read(self, since: int | None, epochs: list[int]) -> None:
        """Read to the head; from the beginning when the server has another past."""
        while True:
            page, headers = await _page(self._http, self.url, self._series, since)
            generation = headers.get("X-Series-Generation")
            if generation != self._generation:
                self.view.clear()
                self._generation, epochs = generation, []
                if since is not None:
                    since = None
                    continue
            epochs.append(int(headers["X-Series-Epoch"]))
            self._merge(page["candles"])
            since = page["candles"][-1]["candle_time"] if page["candles"] else None
            if since is None or since == page["server_head_time"]:
                self._epoch = min(epochs)
                return

    def _merge(self, candles: Sequence[Candle]) -> None:
        self.view.update((candle["candle_time"], candle) for candle in candles)


class PackageViewer:
    """The same by the Python client (`clients/python`), as its documentation has it."""

    def __init__(self, url: str, series: str) -> None:
        self.url = url
        self.view: View = {}
        self.is_live = False
        self.duplicated = self.out_of_order = 0
        self._series = series

    async def run(self) -> None:
        """Follow until cancelled; begin anew when the first read fails."""
        options = Retry(most_s=RETRY_S)
        async with AsyncClient(self.url, retry=options, trust_env=False) as client:
            while True:
                with suppress(TradeCanvasError):
                    found = await client.candles(self._series)
                    self._replace(0, found)
                    async with aclosing(client.follow(self._series, since=found)) as updates:
                        async for update in updates:
                            self._take(update)
                self.is_live = False
                await asyncio.sleep(RETRY_S)

    def _take(self, update: Update) -> None:
        match update:
            case Closed(candle):
                newest = max(self.view, default=-1)
                self.duplicated += candle.candle_time == newest
                self.out_of_order += candle.candle_time < newest
                self.view[candle.candle_time] = candle._asdict()
            case Revised(from_time, candles):
                self._replace(from_time, candles)
            case Reset(candles):
                self._replace(0, candles)
            case Live():
                self.is_live = True
            case Interrupted():
                self.is_live = False

    def _replace(self, first: int, candles: Candles) -> None:
        kept = {time: candle for time, candle in self.view.items() if time < first}
        self.view = kept | {each.candle_time: each._asdict() for each in candles}


class Tab:
    """One page of candles, read again with the tag of what is kept."""

    def __init__(self, http: aiohttp.ClientSession, url: str, series: str) -> None:
        self.url = url
        self.view: View = {}
        self._http = http
        self._series = series
        self._tag = ""

    async def reload(self) -> None:
        """Ask for the page; keep the old one after 304. Raises aiohttp.ClientError."""
        headers = {"If-None-Match": self._tag} if self._tag else {}
        query = {"series_id": self._series}
        async with self._http.get(f"{self.url}{PATH}", params=query, headers=headers) as answer:
            if answer.status == 304:
                return
            answer.raise_for_status()
            self._tag = answer.headers["ETag"]
            page = await answer.json()
            self.view = {candle["candle_time"]: candle for candle in page["candles"]}


class Views:
    """Two viewers and a tab of a series at each address, on a thread; a context manager.

    Its methods are for the thread that made it.
    """

    def __init__(self, urls: Sequence[str], series: str) -> None:
        self._urls = urls
        self._series = series
        self._started: Future[asyncio.AbstractEventLoop] = Future()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)
        self.viewers: list[Viewer | PackageViewer] = []
        self.tabs: list[Tab] = []

    def __enter__(self) -> Self:
        self._thread.start()
        self._loop = self._started.result(patience(TIMEOUT_S))
        return self

    def __exit__(self, *failure: object) -> None:
        self._loop.call_soon_threadsafe(self._ending.set)
        self._thread.join()

    def reload(self) -> None:
        """Read every tab's page again. Raises aiohttp.ClientError."""

        async def all_tabs() -> None:
            await asyncio.gather(*(tab.reload() for tab in self.tabs))

        self._do(all_tabs())

    def differing(self, stored: Sequence[Candle]) -> list[str]:
        """What each of them shows otherwise than it is stored, after all tabs were read again."""
        self.reload()
        truth = {candle["candle_time"]: candle for candle in stored}
        shown = [(type(each).__name__, each.url, each.view) for each in self.viewers + self.tabs]
        return [
            f"{kind} of {url} at {time}: {view.get(time)}, stored: {truth.get(time)}"
            for kind, url, view in shown
            for time in sorted(view.keys() | truth.keys())
            if view.get(time) != truth.get(time)
        ]

    def _do(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(patience(TIMEOUT_S))

    async def _run(self) -> None:
        self._ending = asyncio.Event()
        limit = aiohttp.ClientTimeout(total=patience(TIMEOUT_S))
        async with aiohttp.ClientSession(timeout=limit) as http:
            self.viewers = [Viewer(http, url, self._series) for url in self._urls]
            self.viewers += [PackageViewer(url, self._series) for url in self._urls]
            self.tabs = [Tab(http, url, self._series) for url in self._urls]
            running = [asyncio.create_task(viewer.run()) for viewer in self.viewers]
            self._started.set_result(asyncio.get_running_loop())
            await self._ending.wait()
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)


async def _page(
    http: aiohttp.ClientSession, url: str, series: str, since: int | None
) -> tuple[dict[str, Any], Any]:
    query = {"series_id": series} | ({} if since is None else {"since": str(since)})
    async with http.get(f"{url}{PATH}", params=query) as answer:
        answer.raise_for_status()
        return await answer.json(), answer.headers
