"""Beat's intervals by a clock that only grows.

Celery's own go by the wall clock: put back by five minutes, nothing is begun for five minutes.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from celery.schedules import schedule


class SteadyClock:
    """Tells the time of its making and how much has passed since; no step of the clock is seen.

    `monotonic` gives seconds that only grow.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._made = datetime.now(UTC)
        self._began = monotonic()

    def now(self) -> datetime:
        """UTC, as good as it was when this clock was made."""
        return self._made + timedelta(seconds=self._monotonic() - self._began)


# One for all: beat compares the times of its entries.
_clock = SteadyClock()


def every(seconds: float) -> schedule:
    """An entry's schedule: due each time so many seconds have passed."""
    return schedule(seconds, nowfun=_clock.now)
