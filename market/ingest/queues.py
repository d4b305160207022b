"""How much work waits in the broker's queues, and since when."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import orjson
from django.conf import settings
from redis import Redis
from redis.exceptions import RedisError

from market.domain.lease_store import LeaseStoreUnavailable
from market.ingest.lease_store_valkey import connect

# Celery's lists in the broker are called like its queues; taken but unfinished work is in a hash.
QUEUES = ("control", "follow", "backfill", "build")
TAKEN = "unacked"

# The header that market.ingest.metrics puts on every task (Unix seconds).
SENT_AT = "sent_at"


@dataclass(frozen=True, slots=True)
class QueueStanding:
    """How many tasks wait in a queue, and for how many seconds the oldest has (0 without)."""

    name: str
    waiting: int
    oldest_s: float


@lru_cache(maxsize=1)
def _broker() -> Redis:
    return connect(settings.REDIS_URL)


def queue_standings(broker: Redis | None = None) -> tuple[list[QueueStanding], int]:
    """Every queue, and the number of tasks that workers have taken; none without a broker.

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
            calls.hlen(TAKEN)
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
        # Sent by somebody who does not stamp it.
        return 0.0
