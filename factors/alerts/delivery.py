"""Delivers what waits in the outbox to webhooks: at least once each, until the receiver accepts.

A delivery is claimed for `LEASE_S` before it is tried. When its worker is killed, the claim runs
out and another worker tries again: the receiver may get an alert twice, with the same id.
"""

from __future__ import annotations

import asyncio
import logging
import random
import threading
import time
from collections.abc import Callable

from django.conf import settings
from django.db import DatabaseError

from factors.alerts import metrics, outbox
from factors.alerts.outbox import Claimed
from factors.alerts.webhook import TIMEOUT_S, Networks, Webhooks
from market import blocking
from market.singletons import closed_by

log = logging.getLogger(__name__)

MOST_AT_ONCE = 16
MOST_PER_HOST = 4
LEASE_S = TIMEOUT_S + 10.0
FIRST_PAUSE_S = 2.0
LONGEST_PAUSE_S = 3600.0
LOOK_S = 0.5
PRUNE_S = 3600.0
GONE = 410


def pause_after(attempt: int, random_: Callable[[float, float], float] = random.uniform) -> float:
    """Seconds before the next attempt: twice as long each time, with jitter."""
    longest: float = FIRST_PAUSE_S * 2 ** (attempt - 1)
    return min(longest, LONGEST_PAUSE_S) * random_(0.5, 1.5)


async def deliver_due(webhooks: Webhooks, is_stopping: Callable[[], bool]) -> int:
    """Deliver all that is due, and what becomes due meanwhile; return how many attempts it took."""
    running: set[asyncio.Task[None]] = set()
    count = 0
    try:
        while not is_stopping():
            if free := MOST_AT_ONCE - len(running):
                claimed = await blocking.run(
                    outbox.claim, free, per_host=MOST_PER_HOST, lease_s=LEASE_S
                )
                count += len(claimed)
                running |= {asyncio.create_task(_attempt(webhooks, each)) for each in claimed}
            if not running:
                break
            ended, running = await asyncio.wait(
                running, timeout=LOOK_S, return_when=asyncio.FIRST_COMPLETED
            )
            for each in ended:
                each.result()
    finally:
        for each in running:
            each.cancel()
        await asyncio.gather(*running, return_exceptions=True)
    return count


async def _attempt(webhooks: Webhooks, claimed: Claimed) -> None:
    """Try once, and record what came of it."""
    began = time.monotonic()
    answer = await webhooks.post(claimed.url, claimed.id, claimed.body, claimed.secret)
    seconds = time.monotonic() - began
    ms = round(1000 * seconds)
    metrics.DELIVERY_SECONDS.observe(seconds)
    if answer.is_accepted and answer.status is not None:
        await blocking.run(outbox.note_delivered, claimed, status=answer.status, ms=ms)
        metrics.DELIVERIES.inc(1, "delivered")
    elif answer.status == GONE:
        await blocking.run(
            outbox.note_gone, claimed, status=GONE, ms=ms, error="the receiver is gone (HTTP 410)"
        )
        metrics.DELIVERIES.inc(1, "gone")
        log.warning("rule %d is disabled: its receiver is gone (HTTP 410)", claimed.rule_id)
    else:
        pause_s = max(pause_after(claimed.attempt), answer.retry_after_s)
        is_last = await blocking.run(
            outbox.note_failed,
            claimed,
            status=answer.status,
            ms=ms,
            error=answer.error,
            pause_s=pause_s,
        )
        metrics.DELIVERIES.inc(1, "dead" if is_last else "failed")
        log.info("alert %s, attempt %d: %s", claimed.id, claimed.attempt, answer.error)


class Deliverer:
    """Delivers in a thread of its own, which ends when nothing is due."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._is_running = False
        self._is_wanted = False
        self._stopped = False
        self._pruned_at = 0.0

    def wake(self) -> None:
        """Have what is due delivered; returns at once, from any thread."""
        with self._lock:
            self._is_wanted = True
            if self._is_running or self._stopped:
                return
            self._is_running = True
        threading.Thread(target=self._run, name="alert-delivery", daemon=True).start()

    def stop(self) -> None:
        """End: deliveries under way are tried again by another worker."""
        self._stopped = True

    def _run(self) -> None:
        while self._goes_on():
            try:
                asyncio.run(self._deliver())
            except (DatabaseError, TimeoutError, RuntimeError) as error:
                log.warning("alerts are delivered later: %s", error)
            except Exception:
                log.exception("delivering alerts failed")

    def _goes_on(self) -> bool:
        with self._lock:
            self._is_running = self._is_wanted and not self._stopped
            self._is_wanted = False
            return self._is_running

    async def _deliver(self) -> None:
        networks = Networks(settings.SWITCHES.alerts_networks)
        async with Webhooks(networks) as webhooks:
            await deliver_due(webhooks, lambda: self._stopped)
        if time.monotonic() - self._pruned_at > PRUNE_S or not self._pruned_at:
            await blocking.run(outbox.expire)
            while await blocking.run(outbox.prune, settings.SWITCHES.alerts_keep_days):
                if self._stopped:
                    return
            self._pruned_at = time.monotonic()


@closed_by(Deliverer.stop)
def deliverer() -> Deliverer:
    """The one deliverer of this process."""
    return Deliverer()
