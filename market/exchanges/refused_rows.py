"""The rows of exchanges that are no candles of their series: counted, logged once, remembered.

They are dropped, so what is missing because of them must be seen elsewhere: in the metrics, and in
the report of the series' follower, which works in the same process.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from market.domain.series import SeriesId
from market.metrics_registry import COLLECTING, SERIES, Counter
from market.singletons import once

logger = logging.getLogger(__name__)

MAX_KEPT = 10_000

REFUSED = Counter(
    "market_rows_refused_total",
    "Rows of exchanges that are no candles of their series, each time they were read.",
    labels=("series_id",),
)


@dataclass(frozen=True, slots=True)
class Refused:
    """How many rows of a series this process refused, why the last one, and when (Unix seconds)."""

    rows: int
    reason: str
    at: float


class RefusedRows:
    """What was refused of each series; used from any thread."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._known: OrderedDict[SeriesId, Refused] = OrderedDict()
        self._logged: set[tuple[SeriesId, str]] = set()

    def note(self, series: SeriesId, rows: int, reason: str) -> None:
        """Count refused rows of one answer; `reason` is that of the first, up to a colon its kind.

        A kind is logged once for each series.
        """
        if COLLECTING.is_on:
            REFUSED.inc(rows, SERIES.admit(series))
        kind = (series, reason.partition(":")[0])
        with self._lock:
            before = self._known.pop(series, None)
            total = rows + (before.rows if before else 0)
            self._known[series] = Refused(total, reason, self._clock())
            if len(self._known) > MAX_KEPT:
                self._known.popitem(last=False)
            is_new = kind not in self._logged and len(self._logged) < MAX_KEPT
            if is_new:
                self._logged.add(kind)
        if is_new:
            logger.warning("%s: %d rows refused, the first: %s", series, rows, reason)

    def of(self, series: SeriesId) -> Refused | None:
        """What was refused of a series; None for nothing."""
        return self._known.get(series)


@once
def refused_rows() -> RefusedRows:
    """The refused rows of this process."""
    return RefusedRows()
