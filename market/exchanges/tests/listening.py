"""A stream of the local exchange, and the events that came from it."""

from __future__ import annotations

import asyncio
import contextlib

from market.domain.feed import Closed
from market.exchanges.ccxt_history import History
from market.exchanges.streams import EventQueue
from market.stopping import stop


@contextlib.asynccontextmanager
async def events_of(kind, client, series, *, limits, pinned=()):
    """A stream of class `kind` that follows these series, and the list of its events."""
    queue = EventQueue()
    stream = kind(client, History(client), queue=queue, limits=limits)
    events = []

    async def listen():
        async for event in queue.events():
            events.append(event)

    stream.follow(frozenset(series), frozenset(pinned))
    tasks = [asyncio.create_task(stream.run()), asyncio.create_task(listen())]
    try:
        yield stream, events
    finally:
        await stop(tasks)
        await stream.close()
        await client.close()


def closed_times(events, series):
    """The open times of the closed candles of a series, in the order of the events."""
    return [e.candle.candle_time for e in events if isinstance(e, Closed) and e.series == series]


def is_gapless(times):
    """Whether ascending open times of one second each lack none."""
    return times == list(range(times[0], times[0] + len(times)))
