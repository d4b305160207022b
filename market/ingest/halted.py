"""Which markets exchanges list as halted or delisted, as the followers of their series report."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection, Mapping

from market.domain.lease_store import JobReport, LeaseStoreUnavailable
from market.domain.series import SeriesId
from market.ingest.runtime import lease_store
from market.runtime import derived_timeframes
from market.singletons import once

log = logging.getLogger(__name__)

# Followers read a listing every quarter of an hour: health is asked for every few seconds.
KEPT_S = 15.0
MAX_KEPT = 20_000


class HaltedMarkets:
    """Answers from memory what was reported lately; used from any thread."""

    def __init__(
        self,
        reports: Callable[[Collection[SeriesId]], Mapping[SeriesId, JobReport]],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._reports = reports
        self._clock = clock
        self._lock = threading.Lock()
        # Whether each is halted, and until when that counts.
        self._known: dict[SeriesId, tuple[bool, float]] = {}

    def among(self, series: Collection[SeriesId]) -> frozenset[SeriesId]:
        """Those whose market is halted; of a derived series its base counts. Blocking.

        While the lease store is unavailable, what was known stays.
        """
        source_of = derived_timeframes().source_of
        sources = {each: source_of(each) for each in series}
        now = self._clock()
        with self._lock:
            if len(self._known) > MAX_KEPT:
                self._known.clear()
            asked = {
                each
                for each in sources.values()
                if each not in self._known or self._known[each][1] <= now
            }
        if asked:
            self._ask(asked, now)
        return frozenset(
            each for each, source in sources.items() if self._known.get(source, (False, 0.0))[0]
        )

    def _ask(self, asked: Collection[SeriesId], now: float) -> None:
        try:
            found = self._reports(list(asked))
        except LeaseStoreUnavailable as error:
            log.info("halted markets are unknown: %s", error)
            return
        for each in asked:
            report = found.get(each)
            self._known[each] = (report is not None and report.is_halted, now + KEPT_S)


@once
def halted_markets() -> HaltedMarkets:
    """The halted markets as this process knows them."""
    return HaltedMarkets(lambda series: lease_store().reports(series))
