"""The Celery application: `celery -A trade_canvas worker --pool threads`, and `… beat`.

Queues: `control` (default, short), `follow` (long, end by themselves), `backfill`, `build`.
"""

from __future__ import annotations

import os
from typing import Any

from celery import Celery
from celery.signals import celeryd_init
from kombu import Exchange, Queue

from trade_canvas.checks import UnsafeToStart, refuse_unsafe_start

QUEUES = ("control", "follow", "backfill", "build")

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "trade_canvas.settings")

app = Celery("trade_canvas")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.conf.task_queues = [Queue(name, Exchange(name), routing_key=name) for name in QUEUES]
app.autodiscover_tasks(["market", "factors"])
# Its signal handlers start what workers and beat run besides tasks.
app.autodiscover_tasks(["trade_canvas"], related_name="background")


@celeryd_init.connect
def refuse_to_work(**_: Any) -> None:
    """End a worker with an unsafe configuration; Celery's signals pass only SystemExit on."""
    try:
        refuse_unsafe_start()
    except UnsafeToStart as error:
        raise SystemExit(str(error)) from error
