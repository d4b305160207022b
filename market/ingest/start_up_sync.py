"""The start-up sync of a followed series, as health and debug events show it."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Awaitable, Callable

from market.debug_events import emit, milliseconds_since
from market.domain.feed import HistoryPage
from market.domain.series import SeriesId
from market.ingest.backfill import FillResult, OnPage
from market.ingest.gap_ranges import GapState, Range
from market.ingest.progress import START_UP, ProgressReport
from market.pipeline import PipelineError

LAST_ERROR_LENGTH = 300


class StartUpSync:
    """The start-up sync of the series that one job follows; emits its sum when all have ended.

    Series that begin later are another round. On one event loop.
    """

    def __init__(self, exchange: str, market: str, target_candles: int) -> None:
        self._about = {"exchange": exchange, "market": market}
        self._target_candles = target_candles
        self._waiting: set[SeriesId] = set()
        self._ended: Counter[str] = Counter()
        self._started = 0.0

    def begin(self, series: SeriesId) -> None:
        """Await the sync of a series; does nothing where none is wanted."""
        if self._target_candles:
            if not self._waiting:
                self._started = time.perf_counter()
            self._waiting.add(series)

    def ended(self, series: SeriesId, outcome: str = "") -> None:
        """Count the first outcome of a series: synced, lagging, errors; none if it is given up."""
        if series not in self._waiting:
            return
        self._waiting.remove(series)
        if outcome:
            self._ended[outcome] += 1
        if self._waiting or not self._ended:
            return
        failed = self._ended["errors"]
        emit(
            "write.startup.kline_sync.done",
            None,
            {
                **self._about,
                "series_total": self._ended.total(),
                "series_synced": self._ended["synced"],
                "series_lagging": self._ended["lagging"],
                "series_errors": failed,
                "target_candles": self._target_candles,
                "duration_ms": milliseconds_since(self._started),
            },
            level="warn" if failed else "info",
        )
        self._ended.clear()

    async def run(
        self,
        series: SeriesId,
        filled: Callable[..., Awaitable[FillResult]],
        span: Range,
        *,
        head: Callable[[], int | None],
        on_page: OnPage | None = None,
    ) -> FillResult:
        """Fill a span as a part of the start-up sync, and report how it goes.

        `filled` is called with `on_page`; `head` returns the stored head. Raises what
        `filled` raises.
        """
        (first, end), before, started = span, head(), time.perf_counter()
        missing = end - first if before is None else max(0, end - before)
        wanted = (end - first) // series.timeframe.seconds + 1
        report = ProgressReport(series, START_UP, wanted=wanted, missing_seconds=missing)
        covered = 0

        def page_read(page: HistoryPage) -> None:
            nonlocal covered
            covered += len(page.candles)
            report.page_read(page)
            if on_page is not None:
                on_page(page)

        await report.begin()
        error, is_whole, reason, stored = "", False, "", 0
        try:
            result = await filled(on_page=page_read)
            stored = result.stored
            is_whole = result.through == end and not result.missing_ranges
            reason = result.reasons.get(GapState.UNSERVED, "")
        except Exception as failure:
            error = reason_of(failure)
            raise
        finally:
            await report.end(error=error, is_whole=is_whole, reason=reason)
            after = head()
            is_lagging = not error and (after is None or after < end)
            emit(
                "write.startup.kline_sync.series_done",
                series,
                {
                    "target_time": end,
                    "before_head_time": before,
                    "after_head_time": after,
                    "covered_candles": covered,
                    # Whatever is stored takes its factors and drawings along.
                    "refreshed": bool(stored) or after != before,
                    "lagging": is_lagging,
                    "error": error or None,
                    "duration_ms": milliseconds_since(started),
                },
                message=error,
                level="error" if error else "info",
            )
            self.ended(series, "errors" if error else "lagging" if is_lagging else "synced")
        return result


def reason_of(error: Exception) -> str:
    """What the operator reads of an error; of a failed stage also what it raised."""
    text = error.reason if isinstance(error, PipelineError) else str(error)
    return text[:LAST_ERROR_LENGTH]
