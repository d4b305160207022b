"""A rate limit for each key: the one throttle of the project.

    throttle: Throttle[str] = Throttle(interval_s=1 / per_s, burst=10 * per_s)
    wait_s = throttle.admit(address)
    if wait_s:
        ...  # refuse; `wait_s` goes into Retry-After

`burst=1` is a plain minimum interval between two actions of a key. An action that happens in any
case (for example, the end of a job after which there is a cool-down) is counted with `admit`, too;
`wait_s` looks without counting.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)

MAX_KEYS = 10_000

# Sums of intervals are not exact: without this the last action of a burst might be refused.
ROUNDING_S = 1e-6


class Throttle(Generic[K]):
    """Admits one action per key every `interval_s` seconds, and up to `burst` actions at once.

    It is the generic cell rate algorithm: one number is kept per key, the time at which everything
    admitted so far would have been used up at an even pace. Beyond `max_keys` keys the least
    recently admitted one is forgotten. `clock` returns seconds and never goes back. Any thread may
    call the methods.
    """

    def __init__(
        self,
        interval_s: float,
        *,
        burst: int = 1,
        clock: Callable[[], float] = time.monotonic,
        max_keys: int = MAX_KEYS,
    ) -> None:
        self._interval_s = interval_s
        self._burst_s = burst * interval_s
        self._clock = clock
        self._max_keys = max_keys
        self._used_until: OrderedDict[K, float] = OrderedDict()
        self._lock = threading.Lock()

    def admit(self, key: K) -> float:
        """Count an action and return 0, or return the seconds until one will be admitted."""
        with self._lock:
            now = self._clock()
            used_until = max(self._used_until.get(key, now), now) + self._interval_s
            wait_s = used_until - now - self._burst_s
            if wait_s > ROUNDING_S:
                return wait_s
            self._keep(key, used_until)
            return 0.0

    def charge(self, key: K, actions: float) -> None:
        """Count so many actions that happened in any case; a negative number takes some back."""
        with self._lock:
            now = self._clock()
            used_until = max(self._used_until.get(key, now), now) + actions * self._interval_s
            self._keep(key, used_until)

    def wait_s(self, key: K) -> float:
        """Seconds until an action would be admitted; 0 means now. Counts nothing."""
        with self._lock:
            now = self._clock()
            used_until = max(self._used_until.get(key, now), now)
            wait_s = used_until + self._interval_s - now - self._burst_s
            return wait_s if wait_s > ROUNDING_S else 0.0

    def forget(self, key: K) -> None:
        """Drop what was counted for a key that will not come back."""
        with self._lock:
            self._used_until.pop(key, None)

    def _keep(self, key: K, used_until: float) -> None:
        self._used_until[key] = used_until
        self._used_until.move_to_end(key)
        if len(self._used_until) > self._max_keys:
            self._used_until.popitem(last=False)
