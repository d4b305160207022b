"""What alerts need besides the pipeline in each process: rules read again, and news passed on."""

from __future__ import annotations

import asyncio
import logging
import threading
import time

from asgiref.sync import async_to_sync
from channels.layers import get_channel_layer
from django.conf import settings
from django.db import DatabaseError

from factors.alerts import metrics, outbox
from factors.alerts.delivery import deliverer
from factors.alerts.rules import RuleBook
from market import blocking
from market.ingest import dispatch
from market.metrics_registry import COLLECTING
from market.singletons import closed_by

log = logging.getLogger(__name__)

GROUP = "alerts"
REFRESH_S = 5.0
LOOK_S = 1.0
# A request for delivery is made again every few seconds, by beat.
EXPIRES_S = 60.0
BUS_TIMEOUT_S = 2.0


class AlertWatch:
    """A thread that reads the rules again every `refresh_s` seconds, and passes new alerts on.

    `ring` is called after each commit with alerts: it neither blocks nor fails. Whatever is not
    passed on is found in the outbox a little later.
    """

    def __init__(self, refresh_s: float = REFRESH_S) -> None:
        self.book = RuleBook()
        self._refresh_s = refresh_s
        self._news = threading.Event()
        self._stopped = False
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the thread unless it runs."""
        with self._lock:
            if self._thread is None and not self._stopped:
                self._thread = threading.Thread(target=self._run, name="alerts", daemon=True)
                self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._stopped = True
        self._news.set()
        if self._thread is not None:
            self._thread.join(BUS_TIMEOUT_S)

    def ring(self) -> None:
        """Have streams and deliveries look for new alerts; from any thread."""
        self._news.set()

    def _run(self) -> None:
        refreshed_at = 0.0
        while not self._has_ended():
            is_rung = self._news.wait(LOOK_S)
            self._news.clear()
            if is_rung and not self._has_ended():
                self._pass_on()
            elif settings.SWITCHES.ingest_in_process:
                # Without beat.
                deliverer().wake()
            if time.monotonic() - refreshed_at >= self._refresh_s:
                self._refresh()
                refreshed_at = time.monotonic()

    def _has_ended(self) -> bool:
        return self._stopped

    def _pass_on(self) -> None:
        if settings.SWITCHES.ingest_in_process:
            deliverer().wake()
        else:
            dispatch.send(dispatch.DELIVER_ALERTS, expires=EXPIRES_S)
        try:
            async_to_sync(_publish)()
        except Exception as error:
            log.debug("streams were not woken: %s", error)

    def _refresh(self) -> None:
        try:
            self.book.replace(blocking.call(outbox.load_rules))
            if COLLECTING.is_on:
                waiting = blocking.call(outbox.waiting)
                metrics.WAITING.set(waiting.alerts)
                metrics.OLDEST.set(waiting.oldest_s)
                metrics.DEAD.set(waiting.dead)
        except (DatabaseError, TimeoutError, RuntimeError) as error:
            log.warning("the rules of alerts stay as they were: %s", error)


async def _publish() -> None:
    async with asyncio.timeout(BUS_TIMEOUT_S):
        await get_channel_layer().group_send(GROUP, {"type": "alerts"})


@closed_by(AlertWatch.stop)
def alert_watch() -> AlertWatch:
    """The one watch of this process, started."""
    watch = AlertWatch()
    watch.start()
    return watch
