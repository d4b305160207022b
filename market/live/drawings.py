"""What changes in the drawings of series, sent to the subscriptions that follow them.

All of them stand at the same cursor: what they need is read once for each series and change, after
its candles were sent, and encoded once. Candles never wait for it.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import NamedTuple

from market.domain.series import SeriesId
from market.live import metrics
from market.live.frames import Frame
from market.live.messages import DrawCursor, DrawDelta, DrawnChange, DrawnFields
from market.live.reads import RunBlocking
from market.live.topic import Subscription, Topic
from market.stopping import stop

logger = logging.getLogger(__name__)

# Series that are read together: the first of many that change at once must not wait for the last.
MAX_SERIES = 100

# Changes of a series that are kept for clients whose read was overtaken by them.
MAX_RECENT = 8

RETRY_S = 1.0


class DrawnAt(NamedTuple):
    """What is drawn of a series: cursor, newest drawn candle (open time), and what it belongs to.

    `takebacks` counts how often drawings were deleted: no change leads from one number to another.
    """

    cursor: int
    to_time: int
    epoch: int
    generation: str
    takebacks: int

    def fields(self) -> DrawnFields:
        """The fields of both messages about drawings."""
        return {
            "cursor": self.cursor,
            "to_candle_time": self.to_time,
            "epoch": self.epoch,
            "generation": self.generation,
        }


@dataclass(frozen=True, slots=True)
class Drawn:
    """What is drawn now, None while drawings are behind the candles; `change` leads there.

    `change` is None when no change, or none small enough to be sent, leads from what was known to
    what is drawn.
    """

    at: DrawnAt | None
    change: DrawnChange | None = None


ReadDrawn = Callable[[Mapping[SeriesId, DrawnAt | None]], Mapping[SeriesId, Drawn]]
"""Reads what is drawn of series, and what changed since what is known of each; blocks."""


@dataclass(slots=True)
class _Followed:
    """A series whose drawings are followed. `at` is what all of `subscriptions` were sent.

    Except for those in `waiting`, whose last cursor it holds: they get a new one as soon as
    drawings are read, and there is room for it.
    """

    topic: Topic
    at: DrawnAt | None = None
    is_read: bool = False
    subscriptions: set[Subscription] = field(default_factory=set)
    waiting: dict[Subscription, tuple[int, str | None]] = field(default_factory=dict)
    recent: deque[tuple[int, Frame]] = field(default_factory=lambda: deque(maxlen=MAX_RECENT))

    def advance(self, drawn: Drawn) -> None:
        """Send what is drawn now to all that stand where the change begins."""
        before, now, change = self.at, drawn.at, drawn.change
        if self.is_read and before == now:
            return
        self.at = now
        if before and now and before.generation == now.generation and change is not None:
            frame = self._delta(before, now, change)
            self.recent.append((before.cursor, frame))
        else:
            self.recent.clear()
            frame = self._cursor()
        self.is_read = True
        sent = 0
        for subscription in self.subscriptions:
            if subscription in self.waiting:
                continue
            if subscription.watcher.wire.offer(frame):
                sent += 1
            else:
                self.waiting[subscription] = (0, None)
        metrics.frame_sent(frame.types, len(frame.data), sent)

    def greet(self) -> None:
        """Send the changes after their cursor, and the present one, to those that wait for it."""
        if not self.is_read:
            return
        cursor = self._cursor() if self.waiting else None
        for subscription, (known, generation) in list(self.waiting.items()):
            wire = subscription.watcher.wire
            if cursor is None or wire.is_behind:
                continue
            for frame in (*self._changes_after(known, generation), cursor):
                wire.send(frame)
                metrics.frame_sent(frame.types, len(frame.data), 1)
            del self.waiting[subscription]

    def _changes_after(self, known: int, generation: str | None) -> list[Frame]:
        if self.at is None or generation not in (None, self.at.generation):
            return []
        cursors = [previous for previous, _ in self.recent]
        if known not in cursors:
            return []
        return [frame for _, frame in islice(self.recent, cursors.index(known), None)]

    def _cursor(self) -> Frame:
        state = self.topic.state
        nothing: DrawnFields = {
            "cursor": None,
            "to_candle_time": None,
            "epoch": state.epoch,
            "generation": state.generation,
        }
        fields = nothing if self.at is None else self.at.fields()
        message: DrawCursor = {
            "type": "draw_cursor",
            "series_id": str(self.topic.series),
            **fields,
        }
        return Frame.of(message)

    def _delta(self, before: DrawnAt, now: DrawnAt, change: DrawnChange) -> Frame:
        message: DrawDelta = {
            "type": "draw_delta",
            "series_id": str(self.topic.series),
            "previous_cursor": before.cursor,
            **now.fields(),
            **change,
        }
        return Frame.of(message)


class Drawings:
    """Follows the drawings of series for the subscriptions that ask for it; on one event loop."""

    def __init__(self, read: ReadDrawn, run_blocking: RunBlocking) -> None:
        self._read = read
        self._run_blocking = run_blocking
        self._followed: dict[SeriesId, _Followed] = {}
        self._due: dict[SeriesId, None] = {}
        self._task: asyncio.Task[None] | None = None

    def follow(
        self, topic: Topic, subscription: Subscription, cursor: int, generation: str | None
    ) -> None:
        """Send the subscription, which follows the topic, the cursor of its drawings and changes.

        `cursor` and `generation` are those of the drawings that the client has.
        """
        followed = self._followed.get(topic.series)
        if followed is None or followed.topic is not topic:
            followed = self._followed[topic.series] = _Followed(topic)
            topic.changed = self.touch
        followed.subscriptions.add(subscription)
        followed.waiting[subscription] = cursor, generation
        if followed.is_read:
            followed.greet()
        else:
            self.touch(topic.series)

    def leave(self, series: SeriesId, subscription: Subscription) -> None:
        """Send nothing more to the subscription."""
        followed = self._followed.get(series)
        if followed is None:
            return
        followed.subscriptions.discard(subscription)
        followed.waiting.pop(subscription, None)
        if not followed.subscriptions:
            del self._followed[series]

    def touch(self, series: SeriesId) -> None:
        """Read the drawings of a series again: candles were sent, or its past has changed."""
        if series not in self._followed:
            return
        self._due[series] = None
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._work(), name="drawings")

    def release(self) -> None:
        """Send cursors to those that have room for them again."""
        for followed in self._followed.values():
            if followed.waiting:
                followed.greet()

    async def stop(self) -> None:
        """Send nothing more, at the end of the process."""
        if self._task is not None:
            await stop([self._task])

    async def _work(self) -> None:
        while self._due:
            due = list(islice(self._due, MAX_SERIES))
            for series in due:
                del self._due[series]
            known = {each: self._followed[each].at for each in due if each in self._followed}
            if not known:
                continue
            try:
                found = await self._run_blocking(self._read, known)
            except Exception as error:
                logger.warning("could not read drawings: %s", error)
                self._due.update(dict.fromkeys(known))
                await asyncio.sleep(RETRY_S)
                continue
            for series, drawn in found.items():
                self._take(series, drawn)

    def _take(self, series: SeriesId, drawn: Drawn) -> None:
        followed = self._followed.get(series)
        if followed is None:
            return
        head = followed.topic.head
        if drawn.at is not None and (head is None or drawn.at.to_time > head):
            # Its candle is still to come; it brings this here again.
            return
        followed.advance(drawn)
        followed.greet()
