"""When to try again after failures: a growing pause with jitter, and a circuit breaker above it."""

from __future__ import annotations

import random
import time
from collections import deque
from collections.abc import Callable
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

_LAST_ERROR_LENGTH = 300


class BreakerState(StrEnum):
    """Closed lets attempts through, open none, half open one."""

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

    `clock` gives seconds that only grow, so that a step of the wall clock holds nobody up; `wall`
    gives Unix seconds, to be shown. `jitter` is a factor of at most 1 that pauses are shortened by,
    so that what failed together does not come back together.
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
        """Count a failure; the seconds to wait before the next attempt."""
        now = self._clock()
        self._failures.append(now)
        self._consecutive += 1
        self._last_failure_at = self._wall()
        self._last_error = error[:_LAST_ERROR_LENGTH]
        if self._must_open(now):
            self.state = BreakerState.OPEN
            self._last_backoff_s = self.config.open_cooldown_s
        else:
            self.state = BreakerState.CLOSED
            self._last_backoff_s = self._backoff_s() * self._jitter()
        self._retry_at = now + self._last_backoff_s
        return self._last_backoff_s

    def before_attempt(self) -> float:
        """The seconds still to wait; at 0 the attempt may be made."""
        left = self._left_s()
        if self.state is BreakerState.OPEN and not left:
            self.state = BreakerState.HALF_OPEN
        return left

    def succeeded(self) -> None:
        """Forget all failures; what went wrong last stays readable."""
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

    def _must_open(self, now: float) -> bool:
        if not self.enabled:
            return False
        spent = self._window_failures(now) >= self.config.crash_budget
        return spent or self.state is BreakerState.HALF_OPEN

    def _window_failures(self, now: float) -> int:
        return sum(now - failure <= self.config.budget_window_s for failure in self._failures)

    def _backoff_s(self) -> float:
        doubled = self.config.backoff_initial_s * 2.0 ** min(self._consecutive - 1, 30)
        return min(self.config.backoff_max_s, doubled)

    def _left_s(self) -> float:
        return max(0.0, self._retry_at - self._clock())
