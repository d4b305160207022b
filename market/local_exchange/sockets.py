"""The stream paths: raw and combined, spot and futures, as Binance and ccxt spell them."""

from __future__ import annotations

import asyncio

from aiohttp import web

from market.local_exchange.book import Book
from market.local_exchange.candles import FUTURES, SPOT
from market.local_exchange.connection import MOST_STREAMS, Connection, stream_key
from market.local_exchange.faults import Kind
from market.local_exchange.streams import StreamHub

_MOST_CONNECTIONS = 20_000
_MESSAGE_BYTES = 64 * 1024


class Sockets:
    """Accepts stream sockets and hands them to the hub."""

    def __init__(self, book: Book, hub: StreamHub) -> None:
        self._book = book
        self._hub = hub

    def routes(self) -> list[web.RouteDef]:
        """Spot below /, /ws and /stream; futures below /market (ccxt puts it there)."""
        return [
            *self._routes(SPOT, "/stream/ws", combined=False),
            *self._routes(SPOT, "/stream", combined=True),
            *self._routes(SPOT, "/ws", combined=False),
            *self._routes(FUTURES, "/market/ws", combined=False),
            *self._routes(FUTURES, "/market/stream", combined=True),
        ]

    def _routes(self, market: str, path: str, *, combined: bool) -> list[web.RouteDef]:
        async def handle(request: web.Request) -> web.StreamResponse:
            return await self._accept(request, market, combined=combined)

        return [web.get(path, handle), web.get(path + "/{name}", handle)]

    async def _accept(
        self, request: web.Request, market: str, *, combined: bool
    ) -> web.StreamResponse:
        refused = self._book.faults.first(Kind.DROP_CONNECTIONS, market) is not None
        if refused or len(self._hub.connections) >= _MOST_CONNECTIONS:
            return web.Response(status=503, text="the exchange takes no connections")
        # No compression: it would be paid once for every subscriber and message.
        socket = web.WebSocketResponse(
            autoping=False, compress=False, max_msg_size=_MESSAGE_BYTES, timeout=2.0
        )
        await socket.prepare(request)
        transport = request.transport
        if not isinstance(transport, asyncio.Transport):
            return socket
        await self._serve(request, socket, transport, market=market, combined=combined)
        return socket

    async def _serve(
        self,
        request: web.Request,
        socket: web.WebSocketResponse,
        transport: asyncio.Transport,
        *,
        market: str,
        combined: bool,
    ) -> None:
        connection = Connection(
            socket,
            transport,
            market=market,
            combined=combined,
            silent=lambda: self._book.faults.first(Kind.SILENT, market) is not None,
        )
        self._hub.add(connection)
        try:
            for stream in _named_streams(request):
                self._hub.subscribe(connection, stream, stream_key(market, stream))
            await connection.serve(self._hub)
        finally:
            self._hub.remove(connection)


def _named_streams(request: web.Request) -> list[str]:
    """The streams named by the address: ?streams=a/b or a last path part (any number is none)."""
    names = request.query.get("streams", "").split("/")
    names.append(request.match_info.get("name", ""))
    return [name for name in names if name][:MOST_STREAMS]
