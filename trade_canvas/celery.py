"""The Celery application: `celery -A trade_canvas worker`, once per pool, and `… beat`.

Queues: `control` (default, short), `follow` (short: they hand groups on), `backfill`, `build`.
"""

from __future__ import annotations

import os
from typing import Any

import django
from celery import Celery
from celery.signals import beat_init, celeryd_init
from django.apps import apps
from django.conf import settings
from django.utils.module_loading import import_string
from kombu import Exchange, Queue
from typing_extensions import override

from market import collector, identity
from market.ingest.pools import QUEUES
from trade_canvas.checks import refuse_unsafe_start
from trade_canvas.failures import end_on_failure
from trade_canvas.reach import reach_services

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "trade_canvas.settings")

# Celery would print a traceback for settings that can't be read.
with end_on_failure():
    settings.SWITCHES  # noqa: B018  Reads them.

if settings.ROLE in ("worker", "beat"):
    # Celery loads the apps and tasks next; the two signals below come when that is done.
    collector.begin_start()


class Application(Celery):
    """Celery, with the installation's prefix on every key and channel of its broker.

    The prefix is read from the database when the first connection is made, so that settings can be
    loaded without one. Raises market.identity.IdentityUnknown while the database is away, unless a
    worker of this installation has run here.
    """

    @override
    def connection_for_read(self, url: str | None = None, **options: Any) -> Any:
        return super().connection_for_read(url, **_prefixed(options))

    @override
    def connection_for_write(self, url: str | None = None, **options: Any) -> Any:
        return super().connection_for_write(url, **_prefixed(options))


def _prefixed(options: dict[str, Any]) -> dict[str, Any]:
    _load_apps()
    given = options.get("transport_options") or {}
    return {**options, "transport_options": {"global_keyprefix": identity.kept_prefix(), **given}}


def _load_apps() -> None:
    """Load Django's apps, which of Celery's commands only worker and beat do by themselves."""
    if not apps.ready:
        django.setup()


def _identify() -> None:
    """Read the installation's id, which the broker's names need, and compare the database."""
    _load_apps()
    identity.installation_id()
    identity.check_at_start()


app = Application("trade_canvas")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.conf.task_queues = [Queue(name, Exchange(name), routing_key=name) for name in QUEUES]
app.autodiscover_tasks(["market", "factors", "overlays"])
# Its signal handlers start what workers and beat run besides tasks.
app.autodiscover_tasks(["trade_canvas"], related_name="background")


@celeryd_init.connect
def refuse_to_work(**_: Any) -> None:
    """End a worker that is unsafe, reaches no server, belongs elsewhere or has broken factors.

    Celery passes only SystemExit on.
    """
    with end_on_failure():
        refuse_unsafe_start()
        reach_services()
        _identify()
        identity.keep()
        # Not imported above: this module is loaded before the apps are.
        import_string("overlays.runtime.load_factors")()
    collector.end_start()


@beat_init.connect
def refuse_to_plan(**_: Any) -> None:
    """End a beat that reaches no server or belongs to another installation."""
    with end_on_failure():
        reach_services()
        _identify()
    collector.end_start()
