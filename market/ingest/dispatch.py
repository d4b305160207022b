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


def send(task: str, *arguments: str | int, expires: float, queue: str | None = None) -> bool:
    """Queue a task; a worker that comes to it after `expires` seconds drops it. Blocking.

    Tasks of other apps name their `queue`. False when the broker can't be reached: whoever asked
    asks again later.
    """
    try:
        current_app.send_task(
            task, args=arguments, queue=queue or QUEUES[task], expires=expires, retry=False
        )
    except OperationalError as error:
        log.warning("%s was not queued: %s", task, error)
        return False
    return True
