"""Handing work on: to Celery's workers by the task's name, or to this process's own event loop.

A process that ingests by itself has no workers: it does the same work beside its own, a bounded
number of coroutines at a time.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import orjson
from celery import current_app
from django.conf import settings
from kombu.exceptions import OperationalError
from redis import Redis
from redis.exceptions import RedisError

from market.domain.lease_store import LeaseStoreUnavailable
from market.ingest.lease_store_valkey import connect
from market.singletons import closed_by
from market.stopping import stop

log = logging.getLogger(__name__)

FOLLOW = "market.tasks.follow"
BACKFILL = "market.tasks.backfill"
RECONCILE = "market.tasks.reconcile"
REPAIR_GAPS = "market.tasks.repair_gaps"

# Celery's lists in the broker are named like its queues; tasks that workers have taken are in a
# hash until they end.
QUEUES = ("control", "follow", "backfill", "build")
UNACKED = "unacked"
QUEUE_OF = {FOLLOW: "follow", BACKFILL: "backfill", RECONCILE: "control", REPAIR_GAPS: "backfill"}

# The header that market.ingest.metrics puts on every task (Unix seconds).
SENT_AT = "sent_at"

# An expiry is a time of the sender's clock that the worker's clock is compared with. A task that
# runs twice or late does no harm, so an expiry only bounds a backlog, and clocks may differ this
# much.
CLOCK_SLACK_S = 3600.0

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
    except OperationalError as error:
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


@dataclass(frozen=True, slots=True)
class QueueStanding:
    """How many tasks wait in a queue, and since how many seconds the oldest does (0: none)."""

    name: str
    waiting: int
    oldest_s: float


@closed_by(Redis.close)
def _broker() -> Redis:
    return connect(settings.REDIS_URL)


def queue_standings(broker: Redis | None = None) -> tuple[list[QueueStanding], int]:
    """Every queue, and the number of tasks that workers have taken; nothing without a broker.

    Blocking, with a timeout; raises LeaseStoreUnavailable.
    """
    if broker is None:
        if settings.SWITCHES.ingest_in_process:
            return [], 0
        broker = _broker()
    try:
        with broker.pipeline(transaction=False) as calls:
            for name in QUEUES:
                calls.llen(name)
                calls.lindex(name, -1)
            calls.hlen(UNACKED)
            *pairs, taken = calls.execute()
    except RedisError as error:
        raise LeaseStoreUnavailable(str(error)) from error
    now = time.time()
    return [
        QueueStanding(name, pairs[2 * i], _age(pairs[2 * i + 1], now))
        for i, name in enumerate(QUEUES)
    ], taken


def _age(message: Any, now: float) -> float:
    if message is None:
        return 0.0
    try:
        return max(0.0, now - float(orjson.loads(message)["headers"][SENT_AT]))
    except (ValueError, KeyError, TypeError):
        # Its sender does not stamp tasks.
        return 0.0
