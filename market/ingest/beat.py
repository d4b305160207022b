"""What beat sends, and its intervals by a monotonic clock.

Celery's own intervals go by the wall clock: set back by five minutes, beat sends nothing for five
minutes.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from celery.schedules import schedule
from django.conf import settings

from market.ingest import dispatch
from market.ingest.supervisor import (
    BRING_UP_INTERVAL_S,
    DERIVE_INTERVAL_S,
    REPAIR_INTERVAL_S,
    RETENTION_INTERVAL_S,
)

ALERTS_INTERVAL_S = 2.0


class SteadyClock:
    """The time of its creation plus what has passed since; steps of the wall clock don't show.

    `monotonic` returns seconds that never go back.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._created = datetime.now(UTC)
        self._began = monotonic()

    def now(self) -> datetime:
        """UTC, as exact as the wall clock was when this clock was created."""
        return self._created + timedelta(seconds=self._monotonic() - self._began)


# One for all entries: beat compares their times.
_clock = SteadyClock()


def every(seconds: float) -> schedule:
    """An entry's schedule: due each time so many seconds have passed."""
    return schedule(seconds, nowfun=_clock.now)


def entry(task: str, interval_s: float, *, useful_s: float) -> dict[str, Any]:
    """An entry of beat's schedule; each task is useful for `useful_s` seconds."""
    options = {"queue": dispatch.QUEUE_OF[task], "expires": dispatch.expiry(useful_s)}
    return {"task": task, "schedule": every(interval_s), "options": options}


_reconcile_s = settings.SWITCHES.reconcile_interval_s

SCHEDULE: dict[str, dict[str, Any]] = {
    "reconcile": entry(dispatch.RECONCILE, _reconcile_s, useful_s=2 * _reconcile_s),
    "repair gaps": entry(dispatch.REPAIR_GAPS, REPAIR_INTERVAL_S, useful_s=REPAIR_INTERVAL_S),
}
if settings.SWITCHES.enable_derived_timeframes:
    SCHEDULE["derive"] = entry(dispatch.DERIVE, DERIVE_INTERVAL_S, useful_s=DERIVE_INTERVAL_S)
if settings.SWITCHES.enable_factor_ingest:
    SCHEDULE["bring up ledgers"] = entry(
        dispatch.BRING_UP, BRING_UP_INTERVAL_S, useful_s=BRING_UP_INTERVAL_S
    )
if settings.SWITCHES.enable_retention and settings.SWITCHES.retention:
    SCHEDULE["retention"] = entry(
        dispatch.RETENTION, RETENTION_INTERVAL_S, useful_s=RETENTION_INTERVAL_S
    )
if settings.SWITCHES.enable_alerts:
    SCHEDULE["deliver alerts"] = entry(
        dispatch.DELIVER_ALERTS, ALERTS_INTERVAL_S, useful_s=ALERTS_INTERVAL_S
    )
