"""Beat's intervals by a clock that only grows.

Celery's own go by the wall clock: put back by five minutes, they come five minutes late.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime

from celery.schedules import schedstate, schedule


class SteadySchedule(schedule):
    """Due every `seconds`. `clock` gives seconds."""

    def __init__(self, seconds: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(seconds)
        self._clock = clock
        self._ran_at = clock()
        self._known: datetime | None = None

    def is_due(self, last_run_at: datetime) -> schedstate:
        """Whether so much time has passed since `last_run_at` changed, and when to look again."""
        if last_run_at != self._known:
            # Beat notes a time of the wall clock with each run: that it changed is all we take.
            self._known, self._ran_at = last_run_at, self._clock()
        left = self._ran_at + self.seconds - self._clock()
        return schedstate(left <= 0, self.seconds if left <= 0 else left)
