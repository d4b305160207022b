"""The hub: one per web process, between the bus, the store and this process's watchers.

It receives bus messages for all watchers, encodes each once, and writes the same bytes to every
watcher in step. The bus may lose any message, so nothing depends on it: a message names the head
before it, and where that is not what was delivered last, the missing candles are read from the
store first; besides, heads are compared with the store every `check_interval` seconds.
docs/sync.md explains why no watcher sees a duplicate, a step back or an unnamed gap.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from typing import Any

from market.bus import metrics as bus_metrics
from market.bus.layer import ChannelLayer
from market.bus.messages import BusMessage, ClosedCandles, decode, group_of
from market.domain.change import revision_notice
from market.domain.series import SeriesId
from market.domain.store import CandleStore, SeriesDamaged
from market.ingest.presence import Load
from market.live import metrics
from market.live.catch_up import CatchUp
from market.live.drawings import Drawings, ReadDrawn
from market.live.reads import RepairGap, RunBlocking, StoreReads
from market.live.topic import Subscription, Topic
from market.live.watchdog import CUT_OFF_REASON, TIMEOUT_S, TRY_AGAIN_LATER, Watchdog
from market.live.watcher import Watcher

logger = logging.getLogger(__name__)

JOIN_WAIT_S = 0.25
BUS_TIMEOUT_S = 5.0
BUS_RETRY_S = 1.0
FORMING_RELEASE_S = 0.25

# Messages of one series that may queue while it is healed; beyond it one read replaces them.
MAX_INBOX = 256


class Hub:
    """Delivers closed candles, forming candles and notices of series to watchers.

    Everything runs on one event loop; `run_blocking` runs store calls in threads. `now` is the wall
    clock in Unix seconds. `read_drawn` reads drawings for subscriptions that follow them too. When
    neither bus nor store answered for `timeout_s` seconds, all watchers are closed with 1013.
    """

    def __init__(
        self,
        store: CandleStore,
        layer: ChannelLayer,
        *,
        run_blocking: RunBlocking,
        catchup_limit: int = 5000,
        check_interval: float = 2.0,
        repair_gap: RepairGap | None = None,
        repair_limit: int = 5000,
        read_drawn: ReadDrawn | None = None,
        timeout_s: float = TIMEOUT_S,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._watchdog = Watchdog(timeout_s, check_interval)
        self._reads = StoreReads(
            store,
            run_blocking,
            limit=catchup_limit,
            repair_gap=repair_gap,
            repair_limit=repair_limit,
            now=now,
        )
        self._catch_up = CatchUp(self._reads, now)
        self._drawings = None if read_drawn is None else Drawings(read_drawn, run_blocking)
        self._layer = layer
        self._check_interval = check_interval
        self._now = now
        self._topics: dict[SeriesId, Topic] = {}
        self._watchers: dict[Watcher, dict[SeriesId, Subscription]] = {}
        self._channel: str | None = None
        self._joining: asyncio.Task[None] | None = None
        self._tried_bus = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Start the hub's tasks on the running event loop."""
        self._tasks = [
            asyncio.create_task(self._receive_forever()),
            asyncio.create_task(self._check_forever()),
            asyncio.create_task(self._release_forever()),
        ]

    async def stop(self) -> None:
        """Stop the hub's tasks; watchers stay connected."""
        joining = [self._joining] if self._joining else []
        tasks = [*self._tasks, *joining, *(t.task for t in self._topics.values() if t.task)]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._drawings is not None:
            await self._drawings.stop()

    def close_watchers(self, code: int, reason: str) -> None:
        """Close every watcher that follows a series."""
        for watcher, subscriptions in self._watchers.items():
            if subscriptions:
                watcher.wire.close(code, reason)

    @property
    def load(self) -> Load:
        """The number of watchers and of their subscriptions; from any thread."""
        followed = [len(each) for each in list(self._watchers.values())]
        return Load(len(followed), sum(followed))

    # Requests of connections

    def subscriptions_of(self, watcher: Watcher) -> frozenset[SeriesId]:
        """The series that a watcher follows."""
        return frozenset(self._watchers.get(watcher, ()))

    async def subscribe(
        self,
        watcher: Watcher,
        series: SeriesId,
        *,
        since: int | None = None,
        supports_batch: bool = False,
        epoch: int | None = None,
        generation: str | None = None,
        drawings: int | None = None,
    ) -> None:
        """Send what is stored after `since`, then follow live, without a gap between the two.

        `since` is the newest open time the watcher has; None asks for the newest candles. With
        `epoch` and `generation`, those of the watcher's candles, it is also notified of revisions
        since then. With `drawings`, the cursor of those that it has, it follows them too.
        """
        self.unsubscribe(watcher, series)
        subscription = Subscription(watcher, since, supports_batch)
        topic = self._topics.setdefault(series, Topic(series))
        # This keeps the topic open; live frames are not sent until the subscription has joined.
        topic.joining.add(subscription)
        self._watchers.setdefault(watcher, {})[series] = subscription
        metrics.SUBSCRIPTIONS.inc()
        try:
            await self._open(topic)
            await self._catch_up.send(topic, subscription, topic.known_by(epoch, generation))
            # In the same step of the event loop as the last look at the head. Meanwhile the watcher
            # may have left, or subscribed to the series again.
            if self._watchers.get(watcher, {}).get(series) is subscription:
                topic.join(subscription)
                if drawings is not None and self._drawings is not None:
                    self._drawings.follow(topic, subscription, drawings, generation)
        except BaseException:
            self.unsubscribe(watcher, series)
            raise
        finally:
            topic.joining.discard(subscription)

    def unsubscribe(self, watcher: Watcher, series: SeriesId) -> None:
        """Stop following a series; does nothing when the watcher does not follow it."""
        subscription = self._watchers.get(watcher, {}).pop(series, None)
        if subscription is not None:
            metrics.SUBSCRIPTIONS.inc(-1)
            if series in self._topics:
                self._topics[series].remove(subscription)
            if self._drawings is not None:
                self._drawings.leave(series, subscription)

    def leave(self, watcher: Watcher) -> frozenset[SeriesId]:
        """Forget a watcher whose connection ended; return the series it followed."""
        followed = self.subscriptions_of(watcher)
        for series in followed:
            self.unsubscribe(watcher, series)
        self._watchers.pop(watcher, None)
        return followed

    # The bus

    async def _open(self, topic: Topic) -> None:
        """Join the topic's group and read its head and epoch, once for all its watchers."""
        async with topic.opening:
            if topic.is_open:
                return
            await self._tried_bus.wait()
            await self._join_group(topic)
            topic.follow(await self._reads.closed_state(topic.series))
            topic.is_open = True
            self._watchdog.reset()

    async def _join_group(self, topic: Topic) -> None:
        """Join the series' group; without a bus the series is polled from the store."""
        if self._channel is None:
            return
        try:
            async with asyncio.timeout(BUS_TIMEOUT_S):
                await self._layer.group_add(group_of(topic.series), self._channel)
            topic.joined_as = self._channel
        except Exception:
            logger.warning("bus unreachable, %s is polled", topic.series, exc_info=True)

    async def _join_groups(self) -> None:
        for topic in list(self._topics.values()):
            if topic.joined_as != self._channel:
                await self._join_group(topic)

    async def _rejoin(self) -> None:
        """Join the groups that were not reached; one that hangs does not delay the caller."""
        if self._joining is None or self._joining.done():
            self._joining = asyncio.create_task(self._join_groups())
        await asyncio.wait([self._joining], timeout=JOIN_WAIT_S)

    async def _receive_forever(self) -> None:
        while True:
            try:
                async with asyncio.timeout(BUS_TIMEOUT_S):
                    channel = await self._layer.new_channel()
                self._channel = channel
                self._tried_bus.set()
                await self._rejoin()
                while True:
                    self._receive(await self._layer.receive(channel))
            except Exception:
                self._channel = None
                self._tried_bus.set()
                bus_metrics.BUS_LOST.inc()
                logger.warning("lost the bus, candles are polled", exc_info=True)
                await asyncio.sleep(BUS_RETRY_S)

    def _receive(self, mapping: dict[str, Any]) -> None:
        try:
            message = decode(mapping)
        except (KeyError, TypeError, ValueError):
            bus_metrics.BUS_MALFORMED.inc()
            return
        bus_metrics.received(mapping)
        self._watchdog.reset()
        if self.take(message):
            bus_metrics.delivered(mapping)

    def take(self, message: BusMessage) -> bool:
        """Deliver a message now, or queue it behind others of its series; skip repeats.

        Return whether it was delivered now.
        """
        topic = self._topics.get(message.series)
        if topic is None or not topic.is_open:
            return False
        if topic.task is None and not self._needs_store(topic, message):
            return topic.take(message)
        self._queue(topic, message)
        return False

    # The store

    def _needs_store(self, topic: Topic, message: BusMessage) -> bool:
        """Whether the message does not follow what was delivered, or leaves a gap to repair."""
        if not topic.can_take(message):
            return True
        return isinstance(message, ClosedCandles) and self._reads.wants_repair(
            message.series, message.predecessor, message.candles[0].candle_time
        )

    def _queue(self, topic: Topic, message: BusMessage | None) -> None:
        """Have the topic's own task handle the message; None only compares with the store."""
        if len(topic.inbox) >= MAX_INBOX:
            # The store holds all of it: one read replaces the messages.
            topic.inbox.clear()
            message = None
        topic.inbox.append(message)
        if topic.task is None:
            topic.task = asyncio.create_task(self._work(topic))

    async def _work(self, topic: Topic) -> None:
        try:
            while topic.inbox:
                message = topic.inbox.popleft()
                if message is None or self._needs_store(topic, message):
                    await self._heal(topic)
                if message is not None and topic.can_take(message):
                    topic.take(message)
        except Exception as error:
            # The next check tries again.
            trace = not isinstance(error, SeriesDamaged)
            logger.warning("could not heal %s: %s", topic.series, error, exc_info=trace)
            topic.inbox.clear()
        finally:
            topic.task = None

    async def _heal(self, topic: Topic) -> None:
        """Deliver from the store the candles and revisions that the bus did not bring.

        Only this moves the topic meanwhile: if the store is behind it, the store itself went back.
        """
        bus_metrics.BUS_MISSED.inc()
        state = await self._reads.state(topic.series)
        if state.is_rewound_from(topic.state):
            logger.warning("%s: the store's past changed, watchers read again", topic.series)
            metrics.REWOUND.inc()
            topic.rewind(await self._reads.up_to(topic, state))
        while state.head is not None and (topic.head is None or topic.head < state.head):
            rows = await self._reads.after(topic, topic.head)
            if not rows:
                break
            topic.deliver(rows)
            bus_metrics.BUS_HEALED.inc(len(rows))
        if state.epoch > topic.epoch:
            since = await self._reads.revised_since(topic.series, topic.epoch)
            topic.epoch = state.epoch
            if since is not None:
                topic.notify(revision_notice(topic.series, since, state.epoch))

    async def _check_forever(self) -> None:
        while True:
            await asyncio.sleep(self._check_interval)
            metrics.outboxes(watcher.wire.waiting_bytes for watcher in self._watchers)
            try:
                await self.check()
            except Exception:
                logger.warning("could not compare heads with the store", exc_info=True)

    async def check(self) -> None:
        """Compare every watched series with the store in one query; heal those that are behind."""
        for topic in [each for each in self._topics.values() if each.is_idle]:
            await self._close(topic)
        await self._rejoin()
        watched = [(each, each.state) for each in self._topics.values() if each.is_open]
        if watched:
            states = await self._reads.states(topic.series for topic, _ in watched)
        elif self._topics:
            # None of them could be opened.
            return
        self._watchdog.reset()
        for topic, before in watched:
            state = states[topic.series]
            is_rewound = state.is_rewound_from(before)
            if topic.is_open and (is_rewound or topic.is_behind(state, self._now())):
                self._queue(topic, None)

    async def _close(self, topic: Topic) -> None:
        """Leave the group of a topic without watchers, and forget it if it still has none."""
        async with topic.opening:
            channel, topic.is_open, topic.joined_as = topic.joined_as, False, None
            if channel is not None:
                with contextlib.suppress(Exception):
                    async with asyncio.timeout(BUS_TIMEOUT_S):
                        await self._layer.group_discard(group_of(topic.series), channel)
        if topic.is_idle:
            self._topics.pop(topic.series, None)

    async def _release_forever(self) -> None:
        """Send held forming candles once there is room; close all watchers when cut off."""
        while True:
            asleep_at = time.monotonic()
            await asyncio.sleep(FORMING_RELEASE_S)
            self._watchdog.extend(time.monotonic() - asleep_at - FORMING_RELEASE_S)
            if self._watchdog.is_expired:
                self.close_watchers(TRY_AGAIN_LATER, CUT_OFF_REASON)
            for watcher in self._watchers:
                if watcher.holds_forming:
                    watcher.release_forming()
            if self._drawings is not None:
                self._drawings.release()
