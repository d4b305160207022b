"""After a read of the newest candles: ask ingest to complete them, where that is switched on."""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from functools import lru_cache

from django.conf import settings

from market import blocking
from market.api.candle_pages import PageQuery
from market.domain.series import SeriesId
from market.ingest.supervisor import request_tail

logger = logging.getLogger(__name__)

COOL_DOWN_S = 2.0
MAX_REMEMBERED = 10_000

RequestTail = Callable[[SeriesId, int], object]


class TailRequests:
    """Passes on one request a series at a time, and none within the cool-down of the last."""

    def __init__(
        self, request: RequestTail, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._request = request
        self._clock = clock
        self._lock = threading.Lock()
        self._running: set[SeriesId] = set()
        self._ended: OrderedDict[SeriesId, float] = OrderedDict()

    def begin(self, series: SeriesId) -> bool:
        """Whether a request may go out now; if so, `perform` must follow."""
        with self._lock:
            recent = self._clock() - self._ended.get(series, float("-inf")) < COOL_DOWN_S
            if recent or series in self._running:
                return False
            self._running.add(series)
            return True

    def perform(self, series: SeriesId, candles: int) -> None:
        """Pass a begun request on; its failure is logged, for nobody waits for it."""
        try:
            self._request(series, candles)
        except Exception:
            logger.warning("no tail backfill of %s", series, exc_info=True)
        finally:
            with self._lock:
                self._running.discard(series)
                self._ended[series] = self._clock()
                self._ended.move_to_end(series)
                while len(self._ended) > MAX_REMEMBERED:
                    self._ended.popitem(last=False)


@lru_cache(maxsize=1)
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
