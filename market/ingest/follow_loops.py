"""The event loops on which a worker's follow jobs run, many on each.

Groups with whitelisted series have a loop of their own: the start of another group, whose exchange
may list thousands of markets, must not hold them up. Why not a thread for each group:
docs/decisions/0006-follow-jobs-share-event-loops.md.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from enum import Enum, auto

from market.domain.lease_store import Group
from market.ingest import metrics
from market.ingest.runtime import call
from market.stopping import stop

log = logging.getLogger(__name__)

# Longer than a job takes to end once its worker stops.
CLOSE_S = 6.0

KINDS = ("on_demand", "whitelist")
"""Names of the two kinds of groups, by whether they have whitelisted series."""


class Started(Enum):
    """What became of a request to follow a group."""

    NOW = auto()
    ALREADY = auto()
    FULL = auto()


class FollowLoops:
    """Runs `follow(group)` for many groups until each ends by itself.

    At most `limit` groups without whitelisted series at a time; those with are always taken. Where
    `follow` returns True, `hand_over(group)`, which blocks, is called for a successor.
    """

    def __init__(
        self,
        follow: Callable[[Group], Awaitable[bool]],
        *,
        hand_over: Callable[[Group], None],
        limit: int,
    ) -> None:
        self._follow = follow
        self._hand_over = hand_over
        self._limit = limit
        self._lock = threading.Lock()
        self._running: dict[Group, bool] = {}
        self._loops: dict[bool, asyncio.AbstractEventLoop] = {}
        self._threads: list[threading.Thread] = []
        self._closed = False

    def start(self, group: Group, *, is_pinned: bool) -> Started:
        """Begin to follow a group, from any thread. `is_pinned`: it has whitelisted series."""
        with self._lock:
            if group in self._running:
                return Started.ALREADY
            on_demand = sum(not pinned for pinned in self._running.values())
            if self._closed or (not is_pinned and on_demand >= self._limit):
                return Started.FULL
            self._running[group] = is_pinned
            metrics.FOLLOW_JOBS.inc(1, KINDS[is_pinned])
            loop = self._loops.get(is_pinned) or self._new_loop(is_pinned)
        # In the caller's context, which the job's log lines need.
        context = contextvars.copy_context()
        loop.call_soon_threadsafe(self._begin, loop, group, context=context)
        return Started.NOW

    def close(self) -> None:
        """Wait for the jobs, which end when their worker stops, and end the threads. Blocking."""
        with self._lock:
            self._closed = True
            loops, threads = list(self._loops.values()), list(self._threads)
            self._loops.clear()
        ending = [asyncio.run_coroutine_threadsafe(_end_jobs(), loop) for loop in loops]
        for loop, ended in zip(loops, ending, strict=True):
            _wait(ended)
            loop.call_soon_threadsafe(loop.stop)
        for thread in threads:
            thread.join(CLOSE_S)

    def _new_loop(self, is_pinned: bool) -> asyncio.AbstractEventLoop:
        loop = self._loops[is_pinned] = asyncio.new_event_loop()
        name = "whitelist loop" if is_pinned else "on-demand loop"
        thread = threading.Thread(target=_run, args=(loop,), name=name, daemon=True)
        self._threads.append(thread)
        thread.start()
        return loop

    def _begin(self, loop: asyncio.AbstractEventLoop, group: Group) -> None:
        task = loop.create_task(self._run(group), name=f"follow {group}")
        # The loop itself keeps no strong reference to a task.
        _TASKS.add(task)
        task.add_done_callback(_TASKS.discard)

    async def _run(self, group: Group) -> None:
        goes_on = False
        try:
            goes_on = await self._follow(group)
        except Exception:
            log.exception("%s: the follow job failed", group)
        finally:
            # Before a successor is asked for: it may be started here.
            with self._lock:
                metrics.FOLLOW_JOBS.inc(-1, KINDS[self._running.pop(group)])
        if goes_on:
            await call(self._hand_over, group)


_TASKS: set[asyncio.Task[None]] = set()


def _run(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
    finally:
        loop.close()


async def _end_jobs() -> None:
    """Wait for the jobs of the running loop, then cancel those that are left."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    jobs = others & _TASKS
    if jobs:
        await asyncio.wait(jobs, timeout=CLOSE_S)
    await stop(asyncio.all_tasks() - {asyncio.current_task()})


def _wait(ended: Future[None]) -> None:
    try:
        ended.result(2 * CLOSE_S)
    except Exception:
        log.exception("follow jobs did not end in time")
