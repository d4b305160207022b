"""Whether a hub still hears anything: if it does not, its watchers are better off elsewhere.

Either of bus and store is enough. A process that has neither can't tell its watchers anything, not
even that it can't, and another one may well be better placed.
"""

from __future__ import annotations

import time
from collections.abc import Callable

# Closes with this code and reason; clients come back, and by then to another process.
TRY_AGAIN_LATER = 1013
CUT_OFF_REASON = "instance_cut_off"

PATIENCE_S = 10.0
# Failing checks of the store until it counts as unheard.
CHECKS = 3


class Contact:
    """Notes when something was heard. `clock` gives seconds that only grow."""

    def __init__(
        self,
        patience_s: float,
        check_interval_s: float,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._patience_s = max(patience_s, CHECKS * check_interval_s)
        self._clock = clock
        self._heard_at = clock()

    def heard(self) -> None:
        """Bus or store said something, or there was nothing to ask them."""
        self._heard_at = self._clock()

    def overslept(self, seconds: float) -> None:
        """This process itself stood still: that says nothing about bus and store."""
        self._heard_at += max(0.0, seconds)

    @property
    def is_lost(self) -> bool:
        """Whether nothing was heard for too long."""
        return self._clock() - self._heard_at > self._patience_s
