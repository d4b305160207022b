"""The request rate of each exchange, shared by all processes of the installation.

Each request reserves a time and waits until then. After a 429 or 418 of the exchange all requests
pause for as long as it asks. The state is in Valkey; without a bus, or while Valkey is unavailable,
in this process.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from contextvars import ContextVar
from functools import lru_cache
from typing import NamedTuple, Protocol

from django.conf import settings
from redis.asyncio import Redis
from redis.exceptions import RedisError
from typing_extensions import override

from market.domain.feed import RateLimited
from market.identity import IdentityUnknown, known_prefix
from market.singletons import on_reset

logger = logging.getLogger(__name__)

# Requests may be ahead of their rate by this much, so that a few at a time need not wait.
BURST_MS = 1_000.0

# Longer waits are refused: a visible error is better than a silent wait.
LONGEST_WAIT_S = 30.0

# Pauses up to this length are waited for; a longer one raises.
SHORT_PAUSE_S = 2.0

# How far ahead requests for series that are not whitelisted may be: the rest of the burst is left
# for the others, which so need not wait behind them.
YIELDING_BURST_MS = 400.0
YIELDS: ContextVar[bool] = ContextVar("yields", default=False)
"""Whether the requests of this task let others go first."""

_TIMEOUT_S = 2.0
# How long Valkey is not tried again after a failure.
_AWAY_S = 5.0


class Turn(NamedTuple):
    """The caller may send after `wait_ms`, but not while `pause_ms` is above 0."""

    wait_ms: float
    pause_ms: float


class RateLimit(Protocol):
    """The rate of one exchange."""

    async def reserve(
        self, cost_ms: float, longest_s: float = LONGEST_WAIT_S, burst_ms: float = BURST_MS
    ) -> Turn:
        """Reserve a time for a request that uses `cost_ms` milliseconds of the rate.

        It may be ahead of the rate by `burst_ms`. Nothing is reserved when the wait would be longer
        than `longest_s`.
        """
        ...

    async def pause(self, seconds: float) -> None:
        """Pause all requests; a longer pause that is already set stays."""
        ...

    async def close(self) -> None:
        """Close the connection, if there is one."""
        ...


class LocalRateLimit(RateLimit):
    """In this process, for all its threads and event loops."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        # Both in milliseconds of the clock.
        self._free_at = 0.0
        self._paused_until = 0.0

    @override
    async def reserve(
        self, cost_ms: float, longest_s: float = LONGEST_WAIT_S, burst_ms: float = BURST_MS
    ) -> Turn:
        now = self._clock() * 1000
        with self._lock:
            if self._paused_until > now:
                return Turn(0, self._paused_until - now)
            start = max(now, self._free_at)
            wait = max(0.0, start - burst_ms - now)
            # A request that would wait too long is refused, so it uses nothing.
            if wait <= longest_s * 1000:
                self._free_at = start + cost_ms
            return Turn(wait, 0)

    @override
    async def pause(self, seconds: float) -> None:
        with self._lock:
            self._paused_until = max(self._paused_until, (self._clock() + seconds) * 1000)

    @override
    async def close(self) -> None:
        pass


# KEYS: the time up to which the rate is used, the pause. ARGV: cost, burst, longest wait (ms).
_RESERVE = """
local paused = redis.call('PTTL', KEYS[2])
if paused > 0 then return {0, paused} end
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local start = math.max(now, tonumber(redis.call('GET', KEYS[1]) or '0'))
local wait = math.max(0, start - tonumber(ARGV[2]) - now)
if wait <= tonumber(ARGV[3]) then
    local free = math.ceil(start + tonumber(ARGV[1]))
    redis.call('SET', KEYS[1], string.format('%.0f', free), 'PX', math.max(1, free - now))
end
return {math.ceil(wait), 0}
"""

# KEYS: the pause. ARGV: its length (ms).
_PAUSE = """
if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[1]) then
    redis.call('SET', KEYS[1], '1', 'PX', ARGV[1])
end
"""


class ValkeyRateLimit(RateLimit):
    """In Valkey, shared by all workers; `spare` replaces it during an outage.

    Belongs to the event loop that uses it.
    """

    def __init__(self, url: str, exchange: str, *, spare: RateLimit) -> None:
        self._exchange = exchange
        self._spare = spare
        self._away_until = 0.0
        self._client: Redis = Redis.from_url(
            url, socket_timeout=_TIMEOUT_S, socket_connect_timeout=_TIMEOUT_S, max_connections=8
        )
        self._reserve = self._client.register_script(_RESERVE)
        self._pause = self._client.register_script(_PAUSE)

    @override
    async def reserve(
        self, cost_ms: float, longest_s: float = LONGEST_WAIT_S, burst_ms: float = BURST_MS
    ) -> Turn:
        arguments = [cost_ms, burst_ms, longest_s * 1000]
        if time.monotonic() < self._away_until:
            return await self._spare.reserve(cost_ms, longest_s, burst_ms)
        try:
            wait_ms, pause_ms = await self._reserve(keys=await self._keys(), args=arguments)
        except (TimeoutError, RedisError, OSError, IdentityUnknown) as error:
            logger.warning("rate limit not shared, Valkey: %s", error)
            self._away_until = time.monotonic() + _AWAY_S
            return await self._spare.reserve(cost_ms, longest_s, burst_ms)
        return Turn(float(wait_ms), float(pause_ms))

    @override
    async def pause(self, seconds: float) -> None:
        await self._spare.pause(seconds)
        try:
            await self._pause(keys=(await self._keys())[1:], args=[max(1, int(seconds * 1000))])
        except (TimeoutError, RedisError, OSError, IdentityUnknown) as error:
            logger.warning("pause of the exchange not shared, Valkey: %s", error)

    @override
    async def close(self) -> None:
        await self._client.aclose()

    async def _keys(self) -> list[str]:
        used = f"{await known_prefix()}rate:{self._exchange}"
        return [used, f"{used}:pause"]


async def take_turn(limit: RateLimit, cost_ms: float) -> None:
    """Wait until a request of `cost_ms` may be sent; raise RateLimited instead of a long wait."""
    longest_s, burst_ms = (0.0, YIELDING_BURST_MS) if YIELDS.get() else (LONGEST_WAIT_S, BURST_MS)
    until = time.monotonic() + LONGEST_WAIT_S
    while True:
        turn = await limit.reserve(cost_ms, longest_s, burst_ms)
        if turn.pause_ms > SHORT_PAUSE_S * 1000:
            raise RateLimited("the exchange asked for a pause", turn.pause_ms / 1000)
        wait_s = max(turn.wait_ms, turn.pause_ms) / 1000
        if turn.wait_ms > longest_s * 1000:
            if time.monotonic() + wait_s > until:
                raise RateLimited("too many requests are waiting", wait_s)
            # Nothing is reserved: whatever comes meanwhile goes first.
            await asyncio.sleep(wait_s - longest_s)
            continue
        await asyncio.sleep(wait_s)
        if not turn.pause_ms:
            return


@lru_cache(maxsize=256)
def local_rate_limit(exchange: str) -> LocalRateLimit:
    """The one of this process for an exchange."""
    return LocalRateLimit()


on_reset(local_rate_limit.cache_clear)


def rate_limit_of(exchange: str) -> RateLimit:
    """The rate limit of an exchange: in Valkey if there is a bus, otherwise in this process."""
    if settings.REDIS_URL:
        return ValkeyRateLimit(settings.REDIS_URL, exchange, spare=local_rate_limit(exchange))
    return local_rate_limit(exchange)
