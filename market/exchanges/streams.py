"""What both kinds of live streams share: limits, the queue of events, and closing sockets."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol

from market.domain.feed import FeedError, FeedEvent, Forming, Interrupted, Source
from market.domain.series import SeriesId
from market.domain.timeframe import Timeframe

QUEUE_SIZE = 20_000

# An unresponsive exchange would delay us by ten seconds.
CLOSE_TIMEOUT_S = 1.0
UNSUBSCRIBE_TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamLimits:
    """All in seconds. A series that is silent for its patience is taken to be broken.

    The patience is three candles, but at least `patience`; for candles of up to five seconds it is
    `fast_patience`. It doubles, up to `longest_patience`, while a series stays silent.
    """

    patience: float = 30.0
    fast_patience: float = 10.0
    longest_patience: float = 3_600.0
    check_every: float = 0.5
    first_retry: float = 0.5
    longest_retry: float = 30.0
    # A socket that breaks sooner than this after it was opened has refused what is on it.
    settled: float = 60.0
    # Before a series that the exchange does not stream is tried again; doubles up to an hour.
    first_restream: float = 60.0
    # Series on one socket, until the exchange refuses one: far below the 1024 streams that Binance
    # allows. And sockets of one job.
    series_a_socket: int = 100
    sockets: int = 40

    def patience_of(self, timeframe: Timeframe) -> float:
        """How long a series of this timeframe may be silent."""
        if timeframe.seconds <= 5:
            return self.fast_patience
        return max(self.patience, 3.0 * timeframe.seconds)

    def doubt_of(self, timeframe: Timeframe) -> float:
        """How long a new subscription may send nothing before REST is compared with it.

        Two of these are within one timeframe of the first candle due, or ten seconds.
        """
        return min(self.patience, max(self.fast_patience, timeframe.seconds) / 2)

    def restream_after(self, attempts: int) -> float:
        """How long a series is polled until it is subscribed again, with jitter."""
        longest = min(self.longest_patience, self.first_restream * 2.0 ** min(attempts - 1, 16))
        return longest * random.uniform(0.75, 1.0)

    def retry_after(self, failures: int) -> float:
        """The pause after so many failures in a row (1 and up), with jitter."""
        longest = min(self.longest_retry, self.first_retry * 2.0 ** min(failures - 1, 16))
        return longest * random.uniform(0.5, 1.0)


class LiveStream(Protocol):
    """Puts the events of the followed series into the queue that it was created with."""

    def follow(self, series: frozenset[SeriesId], pinned: frozenset[SeriesId]) -> None:
        """Change the followed series; returns at once. The `pinned` ones come first."""
        ...

    async def run(self) -> None:
        """Work until cancelled."""
        ...

    def source(self, series: SeriesId) -> Source | None:
        """How the candles of a series arrive now; None while it has no place yet."""
        ...

    async def close(self) -> None:
        """Close the sockets, after run() has ended."""
        ...


class EventQueue:
    """A bounded queue of events. When it overflows, events are dropped and Interrupted is sent."""

    def __init__(self, size: int = QUEUE_SIZE) -> None:
        self._queue: asyncio.Queue[FeedEvent | None] = asyncio.Queue(size)
        self._size = size
        self._dropped = False
        self._closed = False

    def put(self, event: FeedEvent) -> None:
        """Add an event without waiting."""
        # A lost forming state is replaced by the next one, so these leave room for the others.
        if isinstance(event, Forming) and self._queue.qsize() > self._size // 2:
            return
        try:
            self._queue.put_nowait(event)
        except asyncio.QueueFull:
            self._dropped = True

    def close(self) -> None:
        """End the events once those in the queue are taken."""
        self._closed = True
        if not self._queue.full():
            self._queue.put_nowait(None)

    async def events(self) -> AsyncIterator[FeedEvent]:
        """The events, until closed."""
        while not (self._closed and self._queue.empty()):
            event = await self._queue.get()
            if event is None:
                return
            yield event
            if self._dropped and self._queue.empty():
                self._dropped = False
                yield Interrupted(None, "more events than could be taken")


def is_sending(clients: Iterable[Any]) -> bool:
    """Whether ccxt still holds back messages to these sockets, as the exchange's rate asks."""
    return any(client.throttle is not None and client.throttle.queue for client in clients)


def detach(exchange: Any, clients: Iterable[Any]) -> list[Any]:
    """Take sockets out of a ccxt object, so that it opens new ones; they are still to be closed."""
    detached = list(clients)
    for client in detached:
        client.retired = True
        if exchange.clients.get(client.url) is client:
            del exchange.clients[client.url]
    return detached


async def close_sockets(clients: Iterable[Any]) -> None:
    """Close sockets; one that takes too long is abandoned."""
    closing = {asyncio.ensure_future(client.close()) for client in clients}
    if not closing:
        return
    _, late = await asyncio.wait(closing, timeout=CLOSE_TIMEOUT_S)
    for task in late:
        task.cancel()
    await asyncio.gather(*closing, return_exceptions=True)


async def unless_closed(answer: Awaitable[Any]) -> Any:
    """Await a call of ccxt; raise FeedError when its socket is closed meanwhile.

    ccxt cancels what waits for a closed socket, which looks like a cancellation of our own task.
    """
    try:
        return await answer
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        raise FeedError("the socket was closed") from None
