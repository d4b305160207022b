"""Fakes around the hub: a watcher's connection, a channel layer, and a store that can fail."""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict

from market.bus.messages import encode, group_of, messages_of
from market.pipeline import Pipeline
from market.stores.memory import MemoryCandleStore
from market.tests.builders import ReplacedStore
from tests.wire_schema import complaints_of_sent

# Tests of these make up what other rooms put into them.
MADE_UP = ('{"type":"draw_delta"', '{"type":"health"', '{"type":"debug_')


class RecordingWire:
    """Records what a watcher was sent; `behind` makes it a watcher that does not read."""

    def __init__(self):
        self.messages = []
        self.closed = None
        self.behind = False

    @property
    def is_open(self):
        return self.closed is None

    @property
    def is_behind(self):
        return self.behind

    @property
    def waiting_bytes(self):
        return 0

    def send(self, frame):
        for text in frame.texts:
            if not text.startswith(MADE_UP):
                assert complaints_of_sent(text.encode()) == []
            self.messages.append(json.loads(text))

    def offer(self, frame):
        if not self.behind:
            self.send(frame)
        return not self.behind

    def close(self, code, reason):
        self.closed = self.closed or (code, reason)

    def of_type(self, kind):
        return [message for message in self.messages if message["type"] == kind]

    def closed_times(self):
        """Open times of all closed candles, in order of arrival."""
        times = []
        for message in self.messages:
            if message["type"] == "candle_closed":
                times.append(message["candle"]["candle_time"])
            elif message["type"] == "candles_batch":
                times += [candle["candle_time"] for candle in message["candles"]]
        return times


class FakeLayer:
    """A channel layer with one receiver; tests pass each message on with `deliver`."""

    def __init__(self):
        self.queue = asyncio.Queue()
        self.groups = defaultdict(set)
        self.down = False

    async def new_channel(self):
        if self.down:
            raise ConnectionError
        return "hub"

    async def receive(self, channel):
        message = await self.queue.get()
        if isinstance(message, Exception):
            raise message
        return message

    async def group_add(self, group, channel):
        if self.down:
            raise ConnectionError
        self.groups[group].add(channel)

    async def group_discard(self, group, channel):
        self.groups[group].discard(channel)

    def deliver(self, message):
        """Pass a message on if its group has a member."""
        if self.groups[group_of(message.series)]:
            self.queue.put_nowait(encode(message))


class World:
    """A store, a pipeline and a bus; `ingest` writes and returns the bus messages."""

    def __init__(self):
        self.store = ReplacedStore()
        self.layer = FakeLayer()
        self.pipeline = Pipeline(self.store)
        self.reads = 0
        self.before_read = None
        self.store_is_away = False

    def ingest(self, series, rows):
        return list(messages_of(self.pipeline.ingest(series, rows)))

    def announce(self, series, rows):
        for message in self.ingest(series, rows):
            self.layer.deliver(message)

    def fail_over(self, series, *, lost=0, revisions=0, generation=""):
        """Put a store in place of this one that lacks the newest candles and revisions."""
        head, epoch, _ = self.store.state(series)
        kept = self.store.newest(series, 10_000)
        kept = kept[: len(kept) - lost]
        self.store.current = MemoryCandleStore(generation)
        self.pipeline.ingest(series, kept)
        head = kept[-1].candle_time if kept else None
        for _ in range(epoch - revisions):
            with self.store.writing(series) as writer:
                writer.advance(head, revised_from=0)

    async def run_blocking(self, work, *args, **kwargs):
        self.reads += 1
        await asyncio.sleep(0)
        if self.store_is_away:
            raise ConnectionError("the store is away")
        done = work(*args, **kwargs)
        if self.before_read is not None:
            hook, self.before_read = self.before_read, None
            hook()
        await asyncio.sleep(0)
        return done


async def settle(turns=30):
    """Let everything that is ready on the event loop run."""
    for _ in range(turns):
        await asyncio.sleep(0)
