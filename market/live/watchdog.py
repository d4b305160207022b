"""Detects that a process has lost both bus and store, so that its watchers can move elsewhere.

Either of the two is enough to serve watchers. Without both a process can't even send an error, and
another process may still be connected.
"""

from __future__ import annotations

import time
from collections.abc import Callable

# Watchers are closed with this code and reason; clients reconnect, to another process by then.
TRY_AGAIN_LATER = 1013
CUT_OFF_REASON = "instance_cut_off"

TIMEOUT_S = 10.0
# The timeout spans at least this many checks of the store.
CHECKS = 3


class Watchdog:
    """Expires when it is not reset for `timeout_s` seconds. `clock` never goes back."""

    def __init__(
        self,
        timeout_s: float,
        check_interval_s: float,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._timeout_s = max(timeout_s, CHECKS * check_interval_s)
        self._clock = clock
        self._reset_at = clock()

    def reset(self) -> None:
        """Bus or store answered, or there was nothing to ask them."""
        self._reset_at = self._clock()

    def extend(self, seconds: float) -> None:
        """Do not count a pause of this process itself: it is no sign of a lost bus or store."""
        self._reset_at += max(0.0, seconds)

    @property
    def is_expired(self) -> bool:
        """Whether neither answered for too long."""
        return self._clock() - self._reset_at > self._timeout_s
