"""One series as the hub delivers it: its head, and its subscriptions."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from market.bus.messages import BusMessage, ClosedCandles, FormingCandle
from market.domain.candle import Candle
from market.domain.change import REVISED, Notice, revision_notice
from market.domain.freshness import is_withheld
from market.domain.series import SeriesId
from market.domain.store import SeriesState
from market.live import metrics
from market.live.frames import Frame, closed_frame, forming_frame, system_frame
from market.live.watcher import Watcher


@dataclass(slots=True, eq=False)
class Subscription:
    """A watcher's place in a series: `cursor` is the newest closed open time it was sent.

    `is_cut` means that its catch-up ended at the limit, before the present. Up to `lost_to` it was
    sent candles that the store has lost; None when it has lost none.
    """

    watcher: Watcher
    cursor: int | None
    supports_batch: bool
    is_cut: bool = False
    lost_to: int | None = None


@dataclass(slots=True)
class _Shared:
    """A frame of `candles` closed candles, and how many watchers it was sent to."""

    frame: Frame | None
    candles: int
    watchers: int = 0


@dataclass(slots=True, eq=False)
class Topic:
    """The live side of a series. `head` is the newest closed open time delivered to all.

    Only `deliver` moves the head, and only forward, except where the store's past changed; all
    methods are synchronous, so each is one step on the event loop.
    """

    series: SeriesId
    head: int | None = None
    epoch: int = 0
    generation: str = ""
    is_open: bool = False
    joined_as: str | None = None
    """The channel that has joined the series' group; None while the series is polled."""
    joined: set[Subscription] = field(default_factory=set)
    joining: set[Subscription] = field(default_factory=set)
    rewound: set[Subscription] = field(default_factory=set)
    """Those of `joined` and `joining` that were sent candles which the store has lost."""
    opening: asyncio.Lock = field(default_factory=asyncio.Lock)
    inbox: deque[BusMessage | None] = field(default_factory=deque)
    task: asyncio.Task[None] | None = None
    changed: Callable[[SeriesId], object] = lambda _: None
    """Called after candles or a notice were sent to all."""

    @property
    def state(self) -> SeriesState:
        """What was delivered, as a state of the store."""
        return SeriesState(self.head, self.epoch, self.generation)

    def known_by(self, epoch: int | None, generation: str | None) -> SeriesState:
        """What a watcher knows; where it does not say, it is taken to know what was delivered."""
        return SeriesState(
            self.head,
            self.epoch if epoch is None else epoch,
            self.generation if generation is None else generation,
        )

    @property
    def is_idle(self) -> bool:
        """Whether there are no subscriptions and no task, so that the topic can be closed."""
        return not self.joined and not self.joining and self.task is None

    def is_ahead_of(self, cursor: int | None) -> bool:
        """Whether something was delivered that a watcher at `cursor` does not have."""
        return self.head is not None and (cursor is None or cursor < self.head)

    def is_behind(self, state: SeriesState, now: float) -> bool:
        """Whether the store holds a closed candle or a revision that was not delivered."""
        if state.epoch > self.epoch:
            return True
        if state.head is None or is_withheld(state.head, self.series.timeframe, now):
            return False
        return self.head is None or state.head > self.head

    def join(self, subscription: Subscription) -> None:
        """Send live frames to the subscription from now on."""
        self.joining.discard(subscription)
        self.joined.add(subscription)

    def remove(self, subscription: Subscription) -> None:
        """Send no more frames to the subscription."""
        self.joining.discard(subscription)
        self.joined.discard(subscription)
        self.rewound.discard(subscription)

    def follow(self, state: SeriesState) -> None:
        """Begin at a state of the store."""
        self.head, self.epoch, self.generation = state

    def rewind(self, state: SeriesState) -> None:
        """Go back to a state, since the store's past changed; watchers read everything again.

        Its head is the newest stored candle that is not beyond what was delivered. A joining
        watcher is notified by its epoch and generation instead, after its history.
        """
        self.follow(state)
        for subscription in self.joined:
            self.take_back(subscription)
        self.notify(revision_notice(self.series, 0, self.epoch))

    def take_back(self, subscription: Subscription) -> None:
        """Move a watcher's cursor back to the head, if it is beyond: those candles are lost."""
        if not self.is_ahead_of(subscription.cursor) and subscription.cursor != self.head:
            subscription.lost_to = max(subscription.lost_to or 0, subscription.cursor or 0)
            subscription.cursor = self.head
            self.rewound.add(subscription)

    def can_take(self, message: BusMessage) -> bool:
        """Whether the message follows what was delivered, so that the store need not be read."""
        if isinstance(message, FormingCandle):
            return True
        if message.generation not in (None, self.generation):
            return False
        if isinstance(message, ClosedCandles):
            # A message older than the last delivered revision may hold values that it changed.
            if message.epoch < self.epoch:
                return False
            before = message.predecessor
            return before is None or (self.head is not None and before <= self.head)
        is_revision = message.notice.event == REVISED
        return not is_revision or bool(message.notice.data["epoch"] <= self.epoch + 1)

    def take(self, message: BusMessage) -> bool:
        """Deliver a message that `can_take` accepted; return whether it was new."""
        if isinstance(message, ClosedCandles):
            return self.deliver(message.candles)
        if isinstance(message, FormingCandle):
            return self._send_forming(message.candle)
        if message.notice.event == REVISED:
            if message.notice.data["epoch"] <= self.epoch:
                return False
            self.epoch = message.notice.data["epoch"]
        self.notify(message.notice)
        return True

    def deliver(self, candles: Sequence[Candle]) -> bool:
        """Send closed candles to every watcher that lacks them; return whether any were new.

        Watchers in step, that is at the topic's head, all get the same frame.
        """
        before = self.head
        fresh = [c for c in candles if before is None or c.candle_time > before]
        if not fresh:
            return False
        last = self.head = fresh[-1].candle_time
        for subscription in list(self.rewound):
            self._replace_lost(subscription, fresh)
        shared: dict[tuple[int | None, bool], _Shared] = {}
        for subscription in self.joined:
            key = (subscription.cursor, subscription.supports_batch)
            if (one := shared.get(key)) is None:
                one = shared[key] = self._shared_after(fresh, *key)
            if one.frame is not None:
                subscription.watcher.send_closed(self.series, one.frame)
                subscription.cursor = last
                one.watchers += 1
        for one in shared.values():
            if one.frame is not None:
                metrics.candles_delivered(self.series, one.candles, one.watchers)
                metrics.frame_sent(one.frame.types, len(one.frame.data), one.watchers)
        self.changed(self.series)
        return True

    def notify(self, notice: Notice) -> None:
        """Send a notice to every subscription.

        A joining one gets revisions by its epoch instead, after the history that they concern.
        """
        frame = system_frame(self.series, notice)
        joining = () if notice.event == REVISED else self.joining
        for subscription in (*self.joined, *joining):
            subscription.watcher.wire.send(frame)
        metrics.frame_sent(frame.types, len(frame.data), len(self.joined) + len(joining))
        self.changed(self.series)

    def notify_one(self, subscription: Subscription, notice: Notice) -> None:
        """Send a notice to one subscription."""
        frame = system_frame(self.series, notice)
        subscription.watcher.wire.send(frame)
        metrics.frame_sent(frame.types, len(frame.data), 1)

    def _replace_lost(self, subscription: Subscription, candles: Sequence[Candle]) -> None:
        """Notify a watcher of candles whose times it was sent before, in place of sending them.

        To it they are revised; so the open times that are sent on a connection always increase.
        """
        lost_to = subscription.lost_to or 0
        cursor = -1 if subscription.cursor is None else subscription.cursor
        again = [c for c in candles if cursor < c.candle_time <= lost_to]
        if again:
            subscription.cursor = again[-1].candle_time
            notice = revision_notice(self.series, again[0].candle_time, self.epoch)
            self.notify_one(subscription, notice)
        if candles[-1].candle_time >= lost_to:
            subscription.lost_to = None
            self.rewound.discard(subscription)

    def _shared_after(
        self, candles: list[Candle], cursor: int | None, supports_batch: bool
    ) -> _Shared:
        fresh = [c for c in candles if cursor is None or c.candle_time > cursor]
        if not fresh:
            return _Shared(None, 0)
        frame = closed_frame(self.series, cursor, fresh, supports_batch=supports_batch)
        return _Shared(frame, len(fresh))

    def _send_forming(self, candle: Candle) -> bool:
        if self.head is not None and candle.candle_time <= self.head:
            return False
        frame = forming_frame(self.series, candle)
        watchers = 0
        for subscription in self.joined:
            if subscription.cursor is None or candle.candle_time > subscription.cursor:
                subscription.watcher.send_forming(self.series, frame)
                watchers += 1
        metrics.frame_sent(frame.types, len(frame.data), watchers)
        return True
