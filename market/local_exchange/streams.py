"""The kline streams: accepting sockets, and what the subscribers of each series are sent, and when.

Each series is computed once a tick whatever the number of its subscribers; all get the same text.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field

import orjson
from aiohttp import web
from typing_extensions import override

from market.local_exchange import wire
from market.local_exchange.book import Book, Series, TimedCandle
from market.local_exchange.candles import FUTURES, SPOT, SeriesKey
from market.local_exchange.connection import (
    MOST_STREAMS,
    Connection,
    Subscriptions,
    stream_key,
)
from market.local_exchange.faults import Fault, Kind

logger = logging.getLogger(__name__)

PING_S = 20.0
# Closed candles sent at most at once after the event loop was blocked.
_MOST_FINALS = 1_000
_MOST_CONNECTIONS = 20_000
_MESSAGE_BYTES = 64 * 1024

# Paths of raw and combined streams in Binance and ccxt; ccxt inserts "/market" for futures.
_PATHS = (
    ("/stream/ws", SPOT, False),
    ("/stream", SPOT, True),
    ("/ws", SPOT, False),
    ("/market/ws", FUTURES, False),
    ("/market/stream", FUTURES, True),
)


@dataclass(slots=True)
class _Channel:
    """A series with subscribers, its forming candle's time, and a delayed final message."""

    series: Series
    stream: str
    open_ms: int
    subscribers: set[Connection] = field(default_factory=set)
    held: TimedCandle | None = None


class StreamHub(Subscriptions):
    """Accepts sockets, and sends them every subscribed series by the exchange's clock."""

    def __init__(self, book: Book, *, push_ms: int, ping_s: float = PING_S) -> None:
        self.connections: set[Connection] = set()
        self.finals_sent = 0
        self._book = book
        self._push_ms = push_ms
        self._ping_s = ping_s
        self._next_ping = time.monotonic() + ping_s
        self._channels: dict[SeriesKey, _Channel] = {}
        # Of the faults that the channels' series were last looked up with.
        self._version = 0

    def routes(self) -> list[web.RouteDef]:
        """The routes of the streams."""
        routes = []
        for path, market, combined in _PATHS:
            handler = self._handler(market, combined=combined)
            routes += [web.get(path, handler), web.get(path + "/{name}", handler)]
        return routes

    def _handler(
        self, market: str, *, combined: bool
    ) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def handle(request: web.Request) -> web.StreamResponse:
            refused = self._book.faults.first(Kind.DROP_CONNECTIONS, market) is not None
            if refused or len(self.connections) >= _MOST_CONNECTIONS:
                return web.Response(status=503, text="the exchange takes no connections")
            # No compression: it would be paid once for every subscriber and message.
            socket = web.WebSocketResponse(
                autoping=False, compress=False, max_msg_size=_MESSAGE_BYTES, timeout=2.0
            )
            await socket.prepare(request)
            if isinstance(request.transport, asyncio.Transport):
                connection = Connection(
                    socket,
                    request.transport,
                    market=market,
                    combined=combined,
                    silent=lambda: self._book.faults.first(Kind.SILENT, market) is not None,
                    limit=lambda: self._book.faults.first(Kind.SUBSCRIPTION_LIMIT, market),
                )
                await self._serve(connection, _named_streams(request))
            return socket

        return handle

    async def _serve(self, connection: Connection, streams: list[str]) -> None:
        self.connections.add(connection)
        try:
            limit = self._book.faults.first(Kind.SUBSCRIPTION_LIMIT, connection.market)
            for stream in streams[: limit.request.most] if limit is not None else streams:
                self.subscribe(connection, stream, stream_key(connection.market, stream))
            await connection.serve(self)
        finally:
            self.connections.discard(connection)
            for stream, key in list(connection.streams.items()):
                self.unsubscribe(connection, stream, key)

    @override
    def subscribe(self, connection: Connection, stream: str, key: SeriesKey | None) -> None:
        connection.streams[stream] = key
        series = self._book.find(key) if key is not None else None
        if series is None:
            return
        if series.key not in self._channels:
            opened = series.open_of(self._book.clock.now_ms())
            self._channels[series.key] = _Channel(series, stream, opened)
        self._channels[series.key].subscribers.add(connection)

    @override
    def unsubscribe(self, connection: Connection, stream: str, key: SeriesKey | None) -> None:
        connection.streams.pop(stream, None)
        channel = self._channels.get(key) if key is not None else None
        if channel is not None:
            channel.subscribers.discard(connection)
            if not channel.subscribers:
                del self._channels[channel.series.key]

    def subscribers(self) -> dict[str, int]:
        """The number of connections of each stream."""
        return {
            f"{key.market}:{channel.stream}": len(channel.subscribers)
            for key, channel in self._channels.items()
        }

    async def run(self) -> None:
        """Push until cancelled; a failing tick is logged."""
        while True:
            await asyncio.sleep(self._pause_s())
            try:
                self.tick()
                self._ping()
            except Exception:
                logger.exception("a tick of the streams failed")

    def tick(self) -> None:
        """Send what is due: candles that closed since the last tick, then the forming ones."""
        now_ms = self._book.clock.now_ms()
        self._look_up_series(now_ms)
        for channel in list(self._channels.values()):
            for open_ms in self._just_closed(channel, now_ms):
                self._close(channel, open_ms, now_ms)
            self._push_open(channel, now_ms)

    def _look_up_series(self, now_ms: int) -> None:
        """Have every channel's series follow a change of the faults."""
        self._book.faults.all()
        if self._version == self._book.faults.version:
            return
        self._version = self._book.faults.version
        for channel in self._channels.values():
            before = channel.series
            channel.series = self._book.find(before.key) or before
            if channel.series.offset_ms != before.offset_ms:
                channel.open_ms = channel.series.open_of(now_ms)

    def revised(self, fault: Fault) -> None:
        """Send the newly revised candles as final messages again."""
        now_ms = self._book.clock.now_ms()
        for channel in self._channels.values():
            series = self._book.find(channel.series.key)
            if series is None or not fault.request.scope.covers(*series.key):
                continue
            page = self._book.page(series, first_ms=None, last_ms=None, limit=_MOST_FINALS)
            for open_ms, candle in page:
                closed = open_ms + series.interval_ms <= now_ms
                if closed and fault.chooses(open_ms, series.interval_ms):
                    self._send(channel, (open_ms, candle), closed=True)

    def drop(self, fault: Fault) -> None:
        """Close every connection that the fault covers, cleanly or by aborting it."""
        for connection in list(self.connections):
            if fault.request.scope.covers(connection.market, None, None):
                connection.close(abort=fault.request.abort)

    def _pause_s(self) -> float:
        """Seconds until the next push or the next close of a candle, whichever is sooner."""
        clock = self._book.clock
        now_ms = clock.now_ms()
        push_ms = max(1, int(self._push_ms * clock.speed))
        due = [now_ms - now_ms % push_ms + push_ms]
        due += [
            channel.series.open_of(now_ms) + channel.series.interval_ms
            for channel in self._channels.values()
        ]
        return max(0.001, clock.seconds_until(min(due)))

    def _ping(self) -> None:
        if time.monotonic() < self._next_ping:
            return
        self._next_ping = time.monotonic() + self._ping_s
        for connection in self.connections:
            connection.ping()

    def _just_closed(self, channel: _Channel, now_ms: int) -> Iterator[int]:
        """Open times of the candles that closed since the last call."""
        step = channel.series.interval_ms
        current_ms = channel.series.open_of(now_ms)
        first_ms = max(channel.open_ms, current_ms - _MOST_FINALS * step)
        # After the clock is set back, nothing closes until it has caught up.
        channel.open_ms = max(channel.open_ms, current_ms)
        return iter(range(first_ms, current_ms, step))

    def _push_open(self, channel: _Channel, now_ms: int) -> None:
        series = channel.series
        open_ms = series.open_of(now_ms)
        if open_ms < channel.open_ms or self._book.omits(series, open_ms, on_rest=False):
            return
        candle = self._book.candle(series, open_ms, now_ms=now_ms)
        if candle is not None:
            self._send(channel, (open_ms, candle), closed=False)

    def _close(self, channel: _Channel, open_ms: int, now_ms: int) -> None:
        """Send a candle's final message, unless a fault omits or delays it."""
        series = channel.series
        candle = self._book.candle(series, open_ms, now_ms=now_ms)
        if candle is None or self._book.omits(series, open_ms, on_rest=False):
            return
        late, channel.held = channel.held, None
        if late is None and self._book.faults.use(Kind.REORDER, *series.key) is not None:
            channel.held = (open_ms, candle)
            return
        self._send_final(channel, (open_ms, candle))
        if late is not None:
            self._send_final(channel, late)

    def _send_final(self, channel: _Channel, timed: TimedCandle) -> None:
        duplicate = self._book.faults.use(Kind.DUPLICATE, *channel.series.key)
        for _ in range(duplicate.request.times if duplicate is not None else 1):
            self._send(channel, timed, closed=True)
            self.finals_sent += 1

    def _send(self, channel: _Channel, timed: TimedCandle, *, closed: bool) -> None:
        series = channel.series
        faults = self._book.faults
        if faults.first(Kind.SILENT, *series.key) is not None:
            return
        event = wire.kline_event(*timed, series, closed=closed, event_ms=self._book.clock.now_ms())
        bare = orjson.dumps(event).decode()
        wrapped = f'{{"stream":"{channel.stream}","data":{bare}}}'
        due = time.monotonic() + faults.delay_s("streams", *series.key)
        for connection in list(channel.subscribers):
            connection.post(wrapped if connection.combined else bare, due=due)


def _named_streams(request: web.Request) -> list[str]:
    """The streams named by the address: ?streams=a/b or the last part of the path."""
    names = request.query.get("streams", "").split("/")
    names.append(request.match_info.get("name", ""))
    return [name for name in names if name][:MOST_STREAMS]
