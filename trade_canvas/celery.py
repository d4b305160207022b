"""The Celery application: `celery -A trade_canvas worker --pool threads`, and `… beat`.

Queues: `control` (default, short), `follow` (long, end by themselves), `backfill`, `build`.
"""

from __future__ import annotations

import os
from typing import Any

from celery import Celery
from celery.signals import beat_init, celeryd_init
from django.conf import settings
from kombu import Exchange, Queue

from trade_canvas.checks import refuse_unsafe_start
from trade_canvas.failures import end_on_failure
from trade_canvas.reach import reach_bus, reach_services

QUEUES = ("control", "follow", "backfill", "build")

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "trade_canvas.settings")

# Celery would print a traceback for settings that can't be read.
with end_on_failure():
    settings.SWITCHES  # noqa: B018  Reads them.

app = Celery("trade_canvas")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.conf.task_queues = [Queue(name, Exchange(name), routing_key=name) for name in QUEUES]
app.autodiscover_tasks(["market", "factors"])
# Its signal handlers start what workers and beat run besides tasks.
app.autodiscover_tasks(["trade_canvas"], related_name="background")


@celeryd_init.connect
def refuse_to_work(**_: Any) -> None:
    """End a worker that is unsafe or reaches no server; Celery passes only SystemExit on."""
    with end_on_failure():
        refuse_unsafe_start()
        reach_services()


@beat_init.connect
def refuse_to_plan(**_: Any) -> None:
    """End a beat that doesn't reach the bus."""
    with end_on_failure():
        reach_bus()
