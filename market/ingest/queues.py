"""Celery's queues as lists in the broker: how old their tasks are, and an end to those too old.

Every task is stamped with the time of the broker's clock when it is sent, so that clocks of senders
and workers do not matter. Tasks that waited longer than their queue allows are dropped before a
worker starts and with every task that is sent: after a day without workers the next task waits for
none of them. What a dropped task was for is requested again by whoever needs it.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import Any

import orjson
from django.conf import settings
from redis import Redis
from redis.exceptions import RedisError

from market import identity
from market.domain.lease_store import LeaseStoreUnavailable
from market.ingest.lease_store_valkey import connect
from market.ingest.pools import QUEUES
from market.singletons import closed_by

log = logging.getLogger(__name__)

# Seconds that a task may wait in each queue. A follow job and a round of reconcile are asked for
# again after seconds, a backfill after two minutes.
MAX_AGE_S = {"control": 60.0, "follow": 60.0, "backfill": 120.0, "build": 3600.0}
# For tasks without a time, which none of ours is.
MAX_LENGTH = 10_000

# Tasks that workers have taken are in a hash until they end.
UNACKED = "unacked"
# The header with the time at which a task was sent (Unix seconds).
SENT_AT = "sent_at"

# Tasks are pushed on the left and taken from the right, so their ages grow to the right: the first
# one that is too old is found by halving. A clock that was set back makes ages negative.
# KEYS: the list. ARGV: the age, the length. Returns the time, and how many tasks were dropped.
DROP = """
local clock = redis.call('TIME')
local now = clock[1] + clock[2] / 1000000
local function is_old(index)
  local found, task = pcall(cjson.decode, redis.call('LINDEX', KEYS[1], index))
  local sent_at = found and type(task.headers) == 'table' and task.headers.sent_at
  return type(sent_at) == 'number' and math.abs(now - sent_at) > tonumber(ARGV[1])
end
local length = redis.call('LLEN', KEYS[1])
local kept = math.min(length, tonumber(ARGV[2]))
if kept > 0 and is_old(kept - 1) then
  local young, old = -1, kept - 1
  while old - young > 1 do
    local middle = math.floor((young + old) / 2)
    if is_old(middle) then old = middle else young = middle end
  end
  kept = old
end
if kept == 0 then
  redis.call('DEL', KEYS[1])
elseif kept < length then
  redis.call('LTRIM', KEYS[1], 0, kept - 1)
end
return {string.format('%.6f', now), length - kept}
"""


@closed_by(Redis.close)
def _broker() -> Redis:
    return connect(settings.REDIS_URL)


def drop_stale(queue: str, broker: Redis | None = None) -> float:
    """Drop the tasks of a queue that are too old; return the time of the broker's clock.

    Blocking, with a timeout; raises LeaseStoreUnavailable.
    """
    try:
        key = identity.prefix() + queue
        limits = [MAX_AGE_S.get(queue, max(MAX_AGE_S.values())), MAX_LENGTH]
        found: Any = (broker or _broker()).register_script(DROP)(keys=[key], args=limits)
    except (RedisError, identity.IdentityUnknown) as error:
        raise LeaseStoreUnavailable(str(error)) from error
    if found[1]:
        log.warning("%s: %d tasks that waited too long were dropped", queue, found[1])
    return float(found[0])


def drop_all_stale() -> None:
    """Drop the tasks that are too old from every queue. Raises LeaseStoreUnavailable."""
    for queue in QUEUES:
        drop_stale(queue)


def stamp(
    headers: dict[str, Any] | None = None, routing_key: str | None = None, **_: object
) -> None:
    """Stamp a task that is about to be sent, and drop what is too old of its queue.

    A handler of Celery's signal `before_task_publish`.
    """
    if headers is None:
        return
    headers[SENT_AT] = time.time()
    if settings.REDIS_URL and routing_key in MAX_AGE_S:
        try:
            headers[SENT_AT] = drop_stale(routing_key)
        except LeaseStoreUnavailable:
            # Sending will fail as well, and be reported.
            log.debug("%s could not be looked through", routing_key, exc_info=True)


@dataclass(frozen=True, slots=True)
class QueueStanding:
    """How many tasks wait in a queue, and since how many seconds the oldest does (0: none)."""

    name: str
    waiting: int
    oldest_s: float


def queue_standings(broker: Redis | None = None) -> tuple[list[QueueStanding], int]:
    """Every queue, and the number of tasks that workers have taken; nothing without a broker.

    Blocking, with a timeout; raises LeaseStoreUnavailable.
    """
    if broker is None:
        if settings.SWITCHES.ingest_in_process:
            return [], 0
        broker = _broker()
    try:
        prefix = identity.prefix()
        with broker.pipeline(transaction=False) as calls:
            for name in QUEUES:
                calls.llen(prefix + name)
                calls.lindex(prefix + name, -1)
            calls.hlen(prefix + UNACKED)
            calls.time()
            *pairs, taken, (seconds, microseconds) = calls.execute()
    except (RedisError, identity.IdentityUnknown) as error:
        raise LeaseStoreUnavailable(str(error)) from error
    now = seconds + microseconds / 1e6
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
