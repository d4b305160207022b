"""Handing ingest work to a Celery worker, by the task's name."""

from __future__ import annotations

import logging

from celery import current_app
from kombu.exceptions import OperationalError

log = logging.getLogger(__name__)

FOLLOW = "market.tasks.follow"
BACKFILL = "market.tasks.backfill"
RECONCILE = "market.tasks.reconcile"
REPAIR_GAPS = "market.tasks.repair_gaps"

QUEUES = {FOLLOW: "follow", BACKFILL: "backfill", RECONCILE: "control", REPAIR_GAPS: "backfill"}


# An expiry is a time of the sender's clock, read by the worker's. What comes twice or late does no
# harm, so it only has to keep a backlog from growing for ever, and clocks may differ by this much.
CLOCK_SLACK_S = 3600.0


def expiry(seconds: float) -> float:
    """The expiry to give a task that is wanted for so many seconds."""
    return seconds + CLOCK_SLACK_S


def send(task: str, *arguments: str | int, expires: float, queue: str | None = None) -> bool:
    """Queue a task that is wanted for `expires` seconds; a worker drops it long after. Blocking.

    Tasks of other apps name their `queue`. False when the broker can't be reached: whoever asked
    asks again later.
    """
    try:
        current_app.send_task(
            task, args=arguments, queue=queue or QUEUES[task], expires=expiry(expires), retry=False
        )
    except OperationalError as error:
        log.warning("%s was not queued: %s", task, error)
        return False
    return True
