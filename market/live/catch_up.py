"""What a new subscription is sent: what is stored after its cursor, and what was revised."""

from __future__ import annotations

from collections.abc import Callable

from market.costs import measured
from market.domain.change import revision_notice
from market.domain.freshness import clamp_cursor
from market.domain.store import SeriesState
from market.domain.timeframe import MAX_TIME
from market.live import metrics
from market.live.frames import closed_frame
from market.live.reads import StoreReads
from market.live.topic import Subscription, Topic

# Reads until the live side is reached; even a second one is rare.
MAX_READS = 20


class CatchUp:
    """Brings subscriptions up to the live side of their series; `now` is in Unix seconds."""

    def __init__(self, reads: StoreReads, now: Callable[[], float]) -> None:
        self._reads = reads
        self._now = now

    async def send(self, topic: Topic, subscription: Subscription, known: SeriesState) -> None:
        """Send history until none is left, and revisions after `known`, the watcher's state.

        The caller must join the subscription in the same step of the event loop.
        """
        if subscription.cursor is not None:
            cursor = max(-1, min(subscription.cursor, MAX_TIME))
            subscription.cursor = clamp_cursor(cursor, topic.series.timeframe, self._now())
        is_complete = False
        for _ in range(MAX_READS):
            if not is_complete:
                is_complete = await self._send_history(topic, subscription)
            elif known[1:] != topic.state[1:]:
                known = await self._send_revisions(topic, subscription, known)
            elif topic.is_ahead_of(subscription.cursor) and not subscription.is_cut:
                is_complete = False
            else:
                break

    async def _send_history(self, topic: Topic, subscription: Subscription) -> bool:
        """Send what is stored after the cursor; return whether that reached the live side.

        A catch-up cut at its limit is not continued: the gap before the watcher's next live candle
        makes it fetch the rest over HTTP.
        """
        watcher, asked_from = subscription.watcher, subscription.cursor
        rows = await self._reads.after_shared(topic, asked_from)
        await watcher.wait_for_room()
        if rows:
            with measured():
                frame = closed_frame(
                    topic.series, asked_from, rows, supports_batch=subscription.supports_batch
                )
                watcher.send_closed(topic.series, frame)
            subscription.cursor = rows[-1].candle_time
            metrics.caught_up(len(rows))
            metrics.frame_sent(frame.types, len(frame.data), 1)
        subscription.is_cut = asked_from is not None and len(rows) >= self._reads.limit
        return subscription.is_cut or not topic.is_ahead_of(subscription.cursor)

    async def _send_revisions(
        self, topic: Topic, subscription: Subscription, known: SeriesState
    ) -> SeriesState:
        """Notify a watcher of what was revised after the state that it knows; return the new one.

        If that is of another generation, or from the future, everything must be read again.
        """
        state = topic.state
        since: int | None = 0
        if known.generation != state.generation or known.epoch > state.epoch:
            topic.take_back(subscription)
        else:
            since = await self._reads.revised_since(topic.series, known.epoch)
        if since is not None:
            topic.notify_one(subscription, revision_notice(topic.series, since, state.epoch))
        return state
