"""The health of followed series, sent to the clients that ask for it when it changed.

Pages would ask for it every few seconds, most of them in vain and right after a candle closed.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple

from market.domain.series import SeriesId
from market.live import metrics
from market.live.frames import Frame
from market.live.messages import HealthFields, HealthMessage
from market.live.reads import RunBlocking
from market.live.watcher import Watcher
from market.stopping import stop

logger = logging.getLogger(__name__)

INTERVAL_S = 3.0

# Subscribes of this time share one look.
GATHER_S = 0.2


class Health(NamedTuple):
    """The health of a series: the fields of its message, and what must change to send it again."""

    signature: Hashable
    fields: HealthFields


ReadHealth = Callable[[Sequence[SeriesId]], Mapping[SeriesId, Health]]
"""Reads the health of several series; blocks."""

# What a watcher was sent last of each series.
Sent = dict[SeriesId, Hashable]


class HealthFeed:
    """Looks at the health of what its watchers follow every INTERVAL_S; on one event loop."""

    def __init__(
        self,
        read: ReadHealth,
        run_blocking: RunBlocking,
        followed: Callable[[Watcher], Collection[SeriesId]],
        *,
        interval_s: float = INTERVAL_S,
    ) -> None:
        self._read = read
        self._run_blocking = run_blocking
        self._followed = followed
        self._interval_s = interval_s
        self._watchers: dict[Watcher, Sent] = {}
        self._woken = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def begin(self, watcher: Watcher) -> None:
        """Send the health of all that a watcher follows, and what changes of it."""
        self._watchers[watcher] = {}
        self._woken.set()
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run(), name="health")

    def end(self, watcher: Watcher) -> None:
        """Send no more health to a watcher."""
        self._watchers.pop(watcher, None)

    def subscribed(self, watcher: Watcher, series: SeriesId) -> None:
        """Send the health of a series that the watcher begins to follow, soon."""
        sent = self._watchers.get(watcher)
        if sent is not None:
            sent.pop(series, None)
            self._woken.set()

    async def stop(self) -> None:
        """Send nothing more, at the end of the process."""
        self._watchers.clear()
        if self._task is not None:
            await stop([self._task])

    async def _run(self) -> None:
        while self._watchers:
            await asyncio.sleep(GATHER_S)
            self._woken.clear()
            try:
                await self._look()
            except Exception as error:
                logger.warning("could not read health: %s", error)
            with suppress(TimeoutError):
                async with asyncio.timeout(self._interval_s):
                    await self._woken.wait()

    async def _look(self) -> None:
        asked = {series for watcher in self._watchers for series in self._followed(watcher)}
        if not asked:
            return
        found = await self._run_blocking(self._read, list(asked))
        frames: dict[SeriesId, Frame] = {}
        for watcher, sent in self._watchers.items():
            followed = self._followed(watcher)
            for series in sent.keys() - followed:
                del sent[series]
            for series in followed:
                health = found.get(series)
                if health is None or sent.get(series) == health.signature:
                    continue
                if series not in frames:
                    message: HealthMessage = {
                        "type": "health",
                        "series_id": str(series),
                        **health.fields,
                    }
                    frames[series] = Frame.of(message)
                # One that is behind gets what is true when it has room.
                if watcher.wire.offer(frames[series]):
                    sent[series] = health.signature
                    metrics.frame_sent(frames[series].types, len(frames[series].data), 1)
