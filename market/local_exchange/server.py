"""Assembles the local exchange and runs it: awaited, or in a thread of its own for tests."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Coroutine, Iterator, Mapping
from typing import Any, TypeVar

from aiohttp import web

from market.local_exchange.book import Book, Clock
from market.local_exchange.candles import MARKETS, CandleSource
from market.local_exchange.control import Control
from market.local_exchange.faults import FaultBook, parse_request
from market.local_exchange.rest import DEFAULT_LIMITS, RestApi, WeightLedger
from market.local_exchange.streams import PING_S, StreamHub

PUSH_MS = 250

_STOP_S = 2.0
_START_S = 10.0

Value = TypeVar("Value")


class LocalExchange:
    """A running exchange at `host` and `port`."""

    def __init__(self, book: Book, hub: StreamHub, control: Control) -> None:
        self.book = book
        self.hub = hub
        self.control = control
        self.host = ""
        self.port = 0
        self._runner: web.AppRunner | None = None
        self._pushing: asyncio.Task[None] | None = None

    @property
    def url(self) -> str:
        """The base URL of everything it serves."""
        return f"http://{self.host}:{self.port}"

    async def listen(self, routes: list[web.RouteDef], *, host: str, port: int) -> None:
        """Serve the routes; raises OSError when the port is taken."""
        app = web.Application(client_max_size=1024 * 1024)
        app.add_routes(routes)
        app.on_shutdown.append(self._close_connections)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=_STOP_S)
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, host, port).start()
        except OSError:
            await self._runner.cleanup()
            raise
        self.host, self.port = host, self._runner.addresses[0][1]
        self._pushing = asyncio.create_task(self.hub.run())

    async def stop(self) -> None:
        """Close all connections and stop listening; returns within a few seconds."""
        if self._pushing is not None:
            self._pushing.cancel()
            await asyncio.gather(self._pushing, return_exceptions=True)
        if self._runner is not None:
            await self._runner.cleanup()

    async def _close_connections(self, app: web.Application) -> None:
        for connection in list(self.hub.connections):
            connection.close()


async def start(
    source: CandleSource,
    *,
    clock: Clock | None = None,
    host: str = "127.0.0.1",
    port: int = 0,
    push_ms: int = PUSH_MS,
    ping_s: float = PING_S,
    weight_limits: Mapping[str, int] | None = None,
) -> LocalExchange:
    """Start an exchange on `source`; port 0 takes a free one. Raises OSError when taken."""
    limits = {**DEFAULT_LIMITS, **(weight_limits or {})}
    book = Book(source, clock or Clock(), FaultBook())
    hub = StreamHub(book, push_ms=push_ms, ping_s=ping_s)
    apis = [RestApi(market, book, WeightLedger(limits[market])) for market in MARKETS]
    control = Control(book, hub, apis)
    exchange = LocalExchange(book, hub, control)
    routes = [route for api in apis for route in api.routes()]
    routes += [*hub.routes(), *control.routes()]
    await exchange.listen(routes, host=host, port=port)
    return exchange


class ExchangeThread:
    """An exchange in another thread, controlled from this one."""

    def __init__(self, exchange: LocalExchange, loop: asyncio.AbstractEventLoop) -> None:
        self.exchange = exchange
        self.url = exchange.url
        self.port = exchange.port
        self._loop = loop

    def fault(self, **fault: object) -> int:
        """Set a fault, written as for POST /control/faults; return its id."""

        async def add() -> int:
            return self.exchange.control.add(parse_request(fault)).number

        return self._run(add())

    def clear(self) -> None:
        """Clear all faults."""

        async def clear() -> None:
            self.exchange.control.clear()

        self._run(clear())

    def _run(self, work: Coroutine[Any, Any, Value]) -> Value:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(_START_S)


@contextlib.contextmanager
def running_exchange(
    source: CandleSource,
    *,
    clock: Clock | None = None,
    push_ms: int = PUSH_MS,
    ping_s: float = PING_S,
    weight_limits: Mapping[str, int] | None = None,
) -> Iterator[ExchangeThread]:
    """Run an exchange on a free loopback port in a thread for as long as the block lasts."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="local-exchange", daemon=True)
    thread.start()
    starting = start(
        source, clock=clock, push_ms=push_ms, ping_s=ping_s, weight_limits=weight_limits
    )
    try:
        exchange = asyncio.run_coroutine_threadsafe(starting, loop).result(_START_S)
        try:
            yield ExchangeThread(exchange, loop)
        finally:
            stopping = asyncio.run_coroutine_threadsafe(exchange.stop(), loop)
            stopping.result(_START_S)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(_START_S)
        loop.close()
