"""After a read of the newest candles: ask ingest to complete them, if that is switched on."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from django.conf import settings

from market import blocking
from market.api.candle_query import PageQuery
from market.domain.series import SeriesId
from market.domain.throttle import Throttle
from market.ingest.coverage import request_tail
from market.singletons import once

logger = logging.getLogger(__name__)

COOL_DOWN_S = 2.0

RequestTail = Callable[[SeriesId, int], object]


class TailRequests:
    """Passes on one request per series at a time, and none within the cool-down after the last."""

    def __init__(
        self, request: RequestTail, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._request = request
        self._lock = threading.Lock()
        self._running: set[SeriesId] = set()
        self._cool_down: Throttle[SeriesId] = Throttle(COOL_DOWN_S, clock=clock)

    def begin(self, series: SeriesId) -> bool:
        """Whether a request may be sent now; if so, `perform` must follow."""
        with self._lock:
            if series in self._running or self._cool_down.wait_s(series):
                return False
            self._running.add(series)
            return True

    def perform(self, series: SeriesId, candles: int) -> None:
        """Send the request that was begun; a failure is only logged, since no caller waits."""
        try:
            self._request(series, candles)
        except Exception:
            logger.warning("no tail backfill of %s", series, exc_info=True)
        finally:
            with self._lock:
                self._running.discard(series)
                self._cool_down.admit(series)


@once
def tail_requests() -> TailRequests:
    """The requests of this process."""
    return TailRequests(request_tail)


def after_read(query: PageQuery) -> None:
    """Called when a page was answered; returns at once and never raises."""
    if query.since is not None or not settings.SWITCHES.enable_market_auto_tail_backfill:
        return
    requests = tail_requests()
    if requests.begin(query.series):
        most = settings.SWITCHES.market_auto_tail_backfill_max_candles
        wanted = min(query.limit, most) if most else query.limit
        blocking.pool().submit(requests.perform, query.series, wanted)
