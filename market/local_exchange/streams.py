"""The kline streams: what each series' subscribers are sent, and when.

Each series is computed once a tick whatever the number of its subscribers, who get the same text.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import orjson

from market.local_exchange import wire
from market.local_exchange.book import Book, Series, TimedCandle
from market.local_exchange.candles import SeriesKey, floor_to
from market.local_exchange.connection import Connection
from market.local_exchange.faults import Fault, Kind

logger = logging.getLogger(__name__)

PING_S = 20.0
# Closed candles sent at most in one go after the loop was held up.
_MOST_FINALS = 1_000


@dataclass(slots=True)
class _Channel:
    """A series with subscribers: its open candle's time, and a final message held back."""

    series: Series
    stream: str
    open_ms: int
    subscribers: set[Connection] = field(default_factory=set)
    held: TimedCandle | None = None


class StreamHub:
    """Follows every subscribed series by the exchange's clock and feeds the connections."""

    def __init__(self, book: Book, *, push_ms: int, ping_s: float = PING_S) -> None:
        self.connections: set[Connection] = set()
        self.finals_sent = 0
        self._book = book
        self._push_ms = push_ms
        self._ping_s = ping_s
        self._next_ping = time.monotonic() + ping_s
        self._channels: dict[SeriesKey, _Channel] = {}

    def add(self, connection: Connection) -> None:
        """Take a new connection in."""
        self.connections.add(connection)

    def remove(self, connection: Connection) -> None:
        """Forget a connection and all its subscriptions."""
        self.connections.discard(connection)
        for stream, key in list(connection.streams.items()):
            self.unsubscribe(connection, stream, key)

    def subscribe(self, connection: Connection, stream: str, key: SeriesKey | None) -> None:
        """Send a stream to a connection from the next tick on; an unknown one stays quiet."""
        connection.streams[stream] = key
        series = self._book.find(key) if key is not None else None
        if series is None:
            return
        if series.key not in self._channels:
            now_ms = self._book.clock.now_ms()
            opened = floor_to(now_ms, series.interval_ms)
            self._channels[series.key] = _Channel(series, stream, opened)
        self._channels[series.key].subscribers.add(connection)

    def unsubscribe(self, connection: Connection, stream: str, key: SeriesKey | None) -> None:
        """Stop sending a stream to a connection."""
        connection.streams.pop(stream, None)
        channel = self._channels.get(key) if key is not None else None
        if channel is not None:
            channel.subscribers.discard(connection)
            if not channel.subscribers:
                del self._channels[channel.series.key]

    def subscribers(self) -> dict[str, int]:
        """How many connections each market's streams have."""
        return {
            f"{key.market}:{channel.stream}": len(channel.subscribers)
            for key, channel in self._channels.items()
        }

    async def run(self) -> None:
        """Push until cancelled. A failing tick is logged and the next one tried."""
        while True:
            await asyncio.sleep(self._pause_s())
            try:
                self.tick()
                self._ping()
            except Exception:
                logger.exception("the streams missed a tick")

    def tick(self) -> None:
        """Send what is due now: candles that closed since the last tick, then the open ones."""
        now_ms = self._book.clock.now_ms()
        for channel in list(self._channels.values()):
            for open_ms in self._just_closed(channel, now_ms):
                self._close(channel, open_ms, now_ms)
            self._push_open(channel, now_ms)

    def revised(self, fault: Fault) -> None:
        """Send subscribers the newly revised candles as final messages once more."""
        now_ms = self._book.clock.now_ms()
        for channel in self._channels.values():
            series = channel.series
            if not fault.request.scope.covers(*series.key):
                continue
            page = self._book.page(series, first_ms=None, last_ms=None, limit=_MOST_FINALS)
            for open_ms, candle in page:
                closed = open_ms + series.interval_ms <= now_ms
                if closed and fault.chooses(open_ms, series.interval_ms):
                    self._send(channel, (open_ms, candle), closed=True)

    def drop(self, fault: Fault) -> None:
        """Close every connection the fault covers, cleanly or by cutting it off."""
        for connection in list(self.connections):
            if fault.request.scope.covers(connection.market, None, None):
                connection.hang_up(abort=fault.request.abort)

    def _pause_s(self) -> float:
        """Seconds until the next push or, if that is sooner, the next close of a candle."""
        clock = self._book.clock
        now_ms = clock.now_ms()
        push_ms = max(1, int(self._push_ms * clock.speed))
        due = [now_ms - now_ms % push_ms + push_ms]
        due += [
            floor_to(now_ms, channel.series.interval_ms) + channel.series.interval_ms
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
        """Open times of the candles that closed since the last look, which this is."""
        step = channel.series.interval_ms
        current_ms = floor_to(now_ms, step)
        first_ms = max(channel.open_ms, current_ms - _MOST_FINALS * step)
        # A clock that was set back reports nothing until it has caught up.
        channel.open_ms = max(channel.open_ms, current_ms)
        return iter(range(first_ms, current_ms, step))

    def _push_open(self, channel: _Channel, now_ms: int) -> None:
        series = channel.series
        open_ms = floor_to(now_ms, series.interval_ms)
        if open_ms < channel.open_ms or self._book.omits(series, open_ms, on_rest=False):
            return
        candle = self._book.candle(series, open_ms, now_ms=now_ms)
        if candle is not None:
            self._send(channel, (open_ms, candle), closed=False)

    def _close(self, channel: _Channel, open_ms: int, now_ms: int) -> None:
        """Send a candle's final message, unless a fault keeps or delays it."""
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
