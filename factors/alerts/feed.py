"""New alerts for the streams of this process: read once for all of them.

The bus only wakes the feed. What it missed is found in the outbox every few seconds.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from weakref import WeakKeyDictionary

from channels.layers import get_channel_layer
from django.db import DatabaseError

from factors.alerts import outbox
from factors.alerts.background import GROUP
from factors.alerts.outbox import Mark, Streamed
from market import blocking
from market.stopping import stop

log = logging.getLogger(__name__)

POLL_S = 2.0
RETRY_S = 1.0
AT_ONCE = 500
MOST_WAITING = 1000


class Follower:
    """What one stream has yet to send; `since` is the end of the outbox when it began."""

    def __init__(self, since: Mark) -> None:
        self.since = since
        self.is_behind = False
        """Whether the client reads so slowly that alerts were left out: it has to resume."""
        self._alerts: deque[Streamed] = deque()
        self._news = asyncio.Event()

    def put(self, alert: Streamed) -> None:
        """Add an alert, unless too many wait."""
        self.is_behind = self.is_behind or len(self._alerts) >= MOST_WAITING
        if not self.is_behind:
            self._alerts.append(alert)
        self._news.set()

    async def take(self, timeout_s: float) -> list[Streamed]:
        """The alerts that wait; none if there are still none after `timeout_s` seconds."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._news.wait()
        self._news.clear()
        taken = list(self._alerts)
        self._alerts.clear()
        return taken


class AlertFeed:
    """Reads new alerts while there are followers; all on one event loop."""

    def __init__(self) -> None:
        self._followers: set[Follower] = set()
        self._end: Mark | None = None
        self._opening = asyncio.Lock()
        self._woken = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def followed(self) -> AsyncIterator[Follower]:
        """A follower of everything that is committed from now on."""
        async with self._opening:
            if self._end is None:
                self._end = await blocking.run(outbox.newest_mark)
            follower = Follower(self._end)
            self._followers.add(follower)
            if not self._tasks:
                self._tasks = {
                    asyncio.create_task(self._read_forever()),
                    asyncio.create_task(self._listen_forever()),
                }
        try:
            yield follower
        finally:
            self._followers.discard(follower)
            if not self._followers:
                tasks, self._tasks, self._end = self._tasks, set(), None
                await stop(tasks)

    async def _read_forever(self) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(POLL_S):
                    await self._woken.wait()
            self._woken.clear()
            try:
                await self._read()
            except (DatabaseError, TimeoutError) as error:
                log.warning("alerts are streamed later: %s", error)
                await asyncio.sleep(RETRY_S)

    async def _read(self) -> None:
        while self._end is not None:
            alerts = await blocking.run(outbox.news_after, self._end.seq, AT_ONCE)
            for alert in alerts:
                self._end = Mark(alert.generation, alert.seq)
                for follower in self._followers:
                    follower.put(alert)
            if len(alerts) < AT_ONCE:
                return

    async def _listen_forever(self) -> None:
        layer = get_channel_layer()
        while True:
            try:
                channel = await layer.new_channel()
                await layer.group_add(GROUP, channel)
                while True:
                    await layer.receive(channel)
                    self._woken.set()
            except Exception as error:
                log.debug("the bus is away, alerts are polled: %s", error)
                await asyncio.sleep(RETRY_S)


_feeds: WeakKeyDictionary[asyncio.AbstractEventLoop, AlertFeed] = WeakKeyDictionary()


def feed() -> AlertFeed:
    """The feed of the running event loop."""
    return _feeds.setdefault(asyncio.get_running_loop(), AlertFeed())
