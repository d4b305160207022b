"""Handing work on: to Celery's workers by the task's name, or to this process's own event loop.

A process that ingests by itself has no workers: it does the same work beside its own, a bounded
number of coroutines at a time.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from celery import current_app, signals
from django.conf import settings
from kombu.exceptions import OperationalError

from market import identity
from market.ingest import queues
from market.stopping import stop

log = logging.getLogger(__name__)

FOLLOW = "market.tasks.follow"
BACKFILL = "market.tasks.backfill"
RECONCILE = "market.tasks.reconcile"
REPAIR_GAPS = "market.tasks.repair_gaps"
DERIVE = "market.tasks.derive"
RETENTION = "overlays.tasks.retention"
BRING_UP = "overlays.tasks.bring_up"
DELIVER_ALERTS = "factors.tasks.deliver_alerts"

QUEUE_OF = {
    FOLLOW: "follow",
    BACKFILL: "backfill",
    RECONCILE: "control",
    REPAIR_GAPS: "backfill",
    DERIVE: "backfill",
    RETENTION: "build",
    BRING_UP: "build",
    DELIVER_ALERTS: "control",
}

# An expiry is a time of the sender's clock that the worker's clock is compared with, and the two
# may differ this much. What waits in the queues is bounded by market.ingest.queues, by one clock;
# this bounds what a worker has fetched and does not begin.
CLOCK_SLACK_S = 3600.0

signals.before_task_publish.connect(queues.stamp)

BACKGROUND_AT_ONCE = 2
BACKGROUND_WAITING = 100


def request(
    task: str,
    *arguments: str | int,
    expires: float,
    here: Callable[[], Awaitable[object]],
    queue: str | None = None,
) -> bool:
    """Have work done soon: by a worker, or as `here()` in a process that ingests by itself.

    Blocking. False when neither can take it now: the caller tries again later.
    """
    if settings.SWITCHES.ingest_in_process:
        return BACKGROUND.submit(here)
    return send(task, *arguments, expires=expires, queue=queue)


def send(task: str, *arguments: str | int, expires: float, queue: str | None = None) -> bool:
    """Queue a task that is useful for `expires` seconds. Blocking.

    Tasks of other apps name their `queue`. False when the broker is unreachable: the caller tries
    again later.
    """
    queue = queue or QUEUE_OF[task]
    try:
        current_app.send_task(
            task, args=arguments, queue=queue, expires=expiry(expires), retry=False
        )
    except (OperationalError, identity.IdentityUnknown) as error:
        log.warning("%s was not queued: %s", task, error)
        return False
    return True


def expiry(seconds: float) -> float:
    """The expiry to set on a task that is useful for so many seconds."""
    return seconds + CLOCK_SLACK_S


class Background:
    """Runs submitted coroutines on one event loop, two at a time, with a bounded queue."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._slots = asyncio.Semaphore(BACKGROUND_AT_ONCE)

    def open(self) -> None:
        """Accept work for the running event loop."""
        self._loop = asyncio.get_running_loop()
        self._slots = asyncio.Semaphore(BACKGROUND_AT_ONCE)

    async def close(self) -> None:
        """Reject new work and cancel what runs or waits."""
        self._loop = None
        await stop(self._tasks)

    def submit(self, work: Callable[[], Awaitable[object]]) -> bool:
        """Run `work` soon, from any thread; False when closed or full."""
        if self._loop is None or len(self._tasks) >= BACKGROUND_WAITING:
            return False
        self._loop.call_soon_threadsafe(self._start, work)
        return True

    def _start(self, work: Callable[[], Awaitable[object]]) -> None:
        task = asyncio.get_running_loop().create_task(self._run(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self, work: Callable[[], Awaitable[object]]) -> None:
        async with self._slots:
            try:
                await work()
            except Exception:
                log.exception("background ingest work failed")


BACKGROUND = Background()
