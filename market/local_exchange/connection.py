"""One stream socket: its bounded outbox, its writer, and the requests of its client."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Callable
from typing import Protocol

import orjson
from aiohttp import WSCloseCode, WSMessage, WSMsgType, web

from market.local_exchange.candles import FUTURES, SPOT, SeriesKey
from market.local_exchange.faults import Fault

# A client this many messages behind is disconnected, so that the server does not grow.
OUTBOX = 4_096
MOST_STREAMS = 1_024
# Messages of a client (pings and pongs too) a second.
_MOST_REQUESTS = {SPOT: 5, FUTURES: 10}
_CLOSE_TIMEOUT_S = 2.0


class Subscriptions(Protocol):
    """Keeps the subscriptions of all connections."""

    def subscribe(self, connection: Connection, stream: str, key: SeriesKey | None) -> None:
        """Send a stream to a connection from the next tick on; an unknown one stays silent."""
        ...

    def unsubscribe(self, connection: Connection, stream: str, key: SeriesKey | None) -> None:
        """Stop sending a stream to a connection."""
        ...


class Connection:
    """A client's socket. `combined` wraps each event with the name of its stream."""

    def __init__(
        self,
        socket: web.WebSocketResponse,
        transport: asyncio.Transport,
        *,
        market: str,
        combined: bool,
        silent: Callable[[], bool],
        limit: Callable[[], Fault | None] = lambda: None,
    ) -> None:
        self.market = market
        self.combined = combined
        # Every subscribed stream by name; None for those that never send anything.
        self.streams: dict[str, SeriesKey | None] = {}
        self._socket = socket
        self._transport = transport
        self._silent = silent
        self._limit = limit
        self._outbox: asyncio.Queue[tuple[float, str | bytes]] = asyncio.Queue(OUTBOX)
        self._recent: deque[float] = deque(maxlen=_MOST_REQUESTS[market] + 1)
        self._closing: asyncio.Task[None] | None = None

    def post(self, text: str | bytes, *, due: float = 0.0) -> None:
        """Queue a text, or a ping as bytes, to be sent at `due` (monotonic) or later, in order.

        A client that is too far behind is disconnected.
        """
        try:
            self._outbox.put_nowait((due, text))
        except asyncio.QueueFull:
            self.close(abort=True)

    def ping(self) -> None:
        """Ping the client, unless a fault silences this exchange."""
        if not self._silent():
            self.post(str(int(time.time() * 1000)).encode())

    def close(self, *, abort: bool = False, code: int = WSCloseCode.GOING_AWAY) -> None:
        """Close the socket in the background; with `abort` without a close frame."""
        if abort:
            self._transport.abort()
        elif self._closing is None:
            self._closing = asyncio.get_running_loop().create_task(self._close(code))

    async def serve(self, hub: Subscriptions) -> None:
        """Answer the client until it disconnects, and write the outbox meanwhile."""
        writer = asyncio.create_task(self._write())
        try:
            async for message in self._socket:
                await self._receive(message, hub)
        finally:
            writer.cancel()
            await asyncio.gather(writer, return_exceptions=True)
            if self._closing is not None:
                await self._closing

    async def _close(self, code: int) -> None:
        with contextlib.suppress(ConnectionError, asyncio.TimeoutError):
            async with asyncio.timeout(_CLOSE_TIMEOUT_S):
                await self._socket.close(code=code, message=b"the exchange closes")
        self._transport.abort()

    async def _write(self) -> None:
        with contextlib.suppress(ConnectionError):
            while True:
                due, content = await self._outbox.get()
                wait_s = due - time.monotonic()
                if wait_s > 0:
                    await asyncio.sleep(wait_s)
                if isinstance(content, str):
                    await self._socket.send_str(content)
                else:
                    await self._socket.ping(content)

    async def _receive(self, message: WSMessage, hub: Subscriptions) -> None:
        if self._too_fast():
            self.close(code=WSCloseCode.POLICY_VIOLATION)
        elif self._silent():
            return
        elif message.type is WSMsgType.PING:
            await self._socket.pong(message.data)
        elif message.type in (WSMsgType.TEXT, WSMsgType.BINARY):
            answer = self._request(message.data, hub)
            if answer is not None:
                self.post(orjson.dumps(answer).decode())

    def _too_fast(self) -> bool:
        self._recent.append(time.monotonic())
        full = len(self._recent) == self._recent.maxlen
        return full and self._recent[-1] - self._recent[0] < 1.0

    def _request(self, data: str | bytes, hub: Subscriptions) -> dict[str, object] | None:
        """Execute a request of the client and return the answer; None when there is none."""
        try:
            body = orjson.loads(data)
        except orjson.JSONDecodeError as error:
            return _refusal(3, f"Invalid JSON: {error}", None)
        if not isinstance(body, dict):
            return _refusal(2, "Invalid request: request must be an object", None)
        number = body.get("id")
        if body.get("method") == "LIST_SUBSCRIPTIONS":
            return {"result": list(self.streams), "id": number}
        streams = body.get("params")
        if not isinstance(streams, list) or not all(isinstance(one, str) for one in streams):
            return _refusal(2, "Invalid request: params must be an array of strings", number)
        return self._change(body.get("method"), streams, number, hub)

    def _change(
        self, method: object, streams: list[str], number: object, hub: Subscriptions
    ) -> dict[str, object] | None:
        if method == "SUBSCRIBE":
            limit = self._limit()
            most = MOST_STREAMS if limit is None else limit.request.most
            if len(self.streams.keys() | set(streams)) > most:
                if limit is not None and limit.request.unanswered:
                    return None
                return _refusal(2, f"Invalid request: more than {most} streams", number)
            for stream in streams:
                hub.subscribe(self, stream, stream_key(self.market, stream))
        elif method == "UNSUBSCRIBE":
            for stream in streams:
                hub.unsubscribe(self, stream, stream_key(self.market, stream))
        else:
            return _refusal(2, f"Invalid request: unknown method {method!r}", number)
        return {"result": None, "id": number}


def stream_key(market: str, stream: str) -> SeriesKey | None:
    """The series that a stream's name stands for; None for other kinds of streams."""
    symbol, separator, interval = stream.partition("@kline_")
    return SeriesKey(market, symbol.upper(), interval) if separator else None


def _refusal(code: int, message: str, number: object) -> dict[str, object]:
    return {"error": {"code": code, "msg": message}, "id": number}
