"""When to try again after failures: a growing pause with jitter, and a circuit breaker above it.

An unavailable database (a restart, a full disk) is back for all series at once, so it has a pace of
its own (`store_pace`): the cool-down of the circuit breaker would delay each of them.
"""

from __future__ import annotations

import random
import time
from collections import deque
from collections.abc import Callable
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from django.db import InterfaceError, OperationalError

from market.domain.feed import FeedError
from market.domain.store import StoreUnavailable

STORE_AWAY = (StoreUnavailable, OperationalError, InterfaceError, TimeoutError)
FIRST_STORE_PAUSE_S = 0.25

_LAST_ERROR_LENGTH = 300


class BreakerState(StrEnum):
    """Closed admits attempts, open none, half open one."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerConfig:
    """The breaker opens at `crash_budget` failures within `budget_window_s` (all in seconds)."""

    crash_budget: int = 5
    budget_window_s: float = 60.0
    backoff_initial_s: float = 1.0
    backoff_max_s: float = 15.0
    open_cooldown_s: float = 30.0


class Breaker:
    """Counts the failures of one series. Disabled, it only paces the attempts and never opens.

    `clock` returns monotonic seconds, so that a step of the wall clock delays nothing; `wall`
    returns Unix seconds for display. `jitter` returns a factor of at most 1 that shortens a pause,
    so that series that failed together are not retried together.
    """

    def __init__(
        self,
        config: BreakerConfig | None = None,
        *,
        enabled: bool = True,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        jitter: Callable[[], float] = lambda: random.uniform(0.5, 1.0),
    ) -> None:
        self.config = config or BreakerConfig()
        self.enabled = enabled
        self.state = BreakerState.CLOSED
        self._clock = clock
        self._wall = wall
        self._jitter = jitter
        self._failures: deque[float] = deque(maxlen=max(1, self.config.crash_budget))
        self._consecutive = 0
        self._last_failure_at: float | None = None
        self._last_error: str | None = None
        self._last_backoff_s = 0.0
        self._retry_at = 0.0

    def failed(self, error: str) -> float:
        """Count a failure and return the seconds to wait before the next attempt."""
        now = self._clock()
        self._failures.append(now)
        self._consecutive += 1
        self._last_failure_at = self._wall()
        self._last_error = error[:_LAST_ERROR_LENGTH]
        spent = self._window_failures(now) >= self.config.crash_budget
        if self.enabled and (spent or self.state is BreakerState.HALF_OPEN):
            self.state = BreakerState.OPEN
            self._last_backoff_s = self.config.open_cooldown_s
        else:
            self.state = BreakerState.CLOSED
            doubled = self.config.backoff_initial_s * 2.0 ** min(self._consecutive - 1, 30)
            self._last_backoff_s = min(self.config.backoff_max_s, doubled) * self._jitter()
        self._retry_at = now + self._last_backoff_s
        return self._last_backoff_s

    def before_attempt(self) -> float:
        """Return the seconds still to wait; at 0 an attempt may be made."""
        left = self._left_s()
        if self.state is BreakerState.OPEN and not left:
            self.state = BreakerState.HALF_OPEN
        return left

    def succeeded(self) -> None:
        """Reset the failures; the last error stays readable."""
        self.state = BreakerState.CLOSED
        self._failures.clear()
        self._consecutive = 0
        self._last_backoff_s = 0.0
        self._retry_at = 0.0

    def as_object(self) -> dict[str, Any]:
        """The state in the shape the contract gives ingest_state; times are Unix seconds."""
        return {
            "enabled": self.enabled,
            "state": self.state.value,
            "window_failures": self._window_failures(self._clock()),
            "consecutive_failures": self._consecutive,
            "last_failure_at": self._last_failure_at,
            "last_error": self._last_error,
            "last_backoff_s": self._last_backoff_s,
            "next_retry_in_s": self._left_s(),
            "config": asdict(self.config),
        }

    def _window_failures(self, now: float) -> int:
        return sum(now - failure <= self.config.budget_window_s for failure in self._failures)

    def _left_s(self) -> float:
        return max(0.0, self._retry_at - self._clock())


def is_store_away(error: BaseException) -> bool:
    """Whether an error, or one that caused it, means that the database is unavailable to all."""
    found: BaseException | None = error
    # A timeout below a FeedError is the exchange's.
    while found is not None and not isinstance(found, FeedError):
        if isinstance(found, STORE_AWAY):
            return True
        found = found.__cause__
    return False


def store_pace(longest_s: float) -> Breaker:
    """Growing pauses up to `longest_s` that never turn into a cool-down."""
    first = min(FIRST_STORE_PAUSE_S, longest_s)
    return Breaker(BreakerConfig(backoff_initial_s=first, backoff_max_s=longest_s), enabled=False)
