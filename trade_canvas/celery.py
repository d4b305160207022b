"""The Celery application: `celery -A trade_canvas worker --pool threads`, and `… beat`.

Queues: `control` (default, short), `follow` (long, end by themselves), `backfill`, `build`.
"""

from __future__ import annotations

import os

from celery import Celery
from kombu import Exchange, Queue

QUEUES = ("control", "follow", "backfill", "build")

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "trade_canvas.settings")

app = Celery("trade_canvas")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.conf.task_queues = [Queue(name, Exchange(name), routing_key=name) for name in QUEUES]
app.autodiscover_tasks(["market", "factors"])
# No tasks, but what workers and beat do beside them.
app.autodiscover_tasks(["trade_canvas"], related_name="members")
