"""How a backfill of one series goes, as `/api/market/health` shows it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import replace

from market.domain.feed import HistoryPage
from market.domain.lease_store import BackfillProgress, LeaseStoreUnavailable
from market.domain.series import SeriesId
from market.ingest.runtime import call, lease_store

log = logging.getLogger(__name__)

TAIL = "tail_coverage"
REPAIR = "gap_repair"
START_UP = "startup_sync"

# Pages of this time are reported together.
REPORT_S = 1.0


class ProgressReport:
    """Reports one backfill of `wanted` candles, from `begin` to `end`; on one event loop.

    The lease store is told where it can be reached: a backfill does not fail for its report.
    """

    def __init__(
        self,
        series: SeriesId,
        reason: str,
        *,
        wanted: int,
        missing_seconds: int = 0,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._series = series
        self._wanted = wanted
        self._read = 0
        self._monotonic = monotonic
        self._due = 0.0
        self._under_way: asyncio.Task[None] | None = None
        now = int(time.time())
        self._progress = BackfillProgress(
            state="running",
            started_at=now,
            updated_at=now,
            reason=reason,
            start_missing_seconds=missing_seconds,
        )

    async def begin(self) -> None:
        """Report that it runs; one that was announced by its request keeps what that named."""
        try:
            known = await call(lease_store().progress, self._series)
        except LeaseStoreUnavailable:
            known = self._progress
        if known.state == "running" and known.reason == self._progress.reason:
            self._progress = known
        await self._send()

    def page_read(self, page: HistoryPage) -> None:
        """Count a page of candles; reported at most every REPORT_S, without waiting."""
        self._read += len(page.candles)
        is_free = self._under_way is None or self._under_way.done()
        if is_free and self._monotonic() >= self._due:
            self._due = self._monotonic() + REPORT_S
            note = f"{self._progress.reason}_running: {self._read} of {self._wanted} candles"
            self._progress = self._now(note=note)
            self._under_way = asyncio.create_task(self._send())

    async def end(self, *, error: str = "", is_whole: bool, reason: str = "") -> None:
        """Report the end: whole, partial (for a `reason`), or failed with an error."""
        if self._under_way is not None:
            await self._under_way
        kind = self._progress.reason
        if error:
            note = f"{kind}_best_effort_failed"
            self._progress = self._now(state="failed", note=note, error=error)
        else:
            note = f"{kind}_done" if is_whole else f"{kind}_partial"
            self._progress = self._now(state="succeeded", note=note, error=reason or None)
        await self._send()

    def _now(
        self, *, state: str = "running", note: str, error: str | None = None
    ) -> BackfillProgress:
        now = int(time.time())
        return replace(self._progress, state=state, updated_at=now, note=note, error=error)

    async def _send(self) -> None:
        try:
            await call(lease_store().set_progress, self._series, self._progress)
        except LeaseStoreUnavailable as error:
            log.warning("the progress of %s was not reported: %s", self._series, error)
