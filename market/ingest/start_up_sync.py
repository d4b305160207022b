"""The start-up sync of a followed series, as health and debug events show it."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable

from market.debug_events import emit, milliseconds_since
from market.domain.feed import HistoryPage
from market.domain.series import SeriesId
from market.ingest.backfill import FillResult, OnPage
from market.ingest.gap_ranges import GapState, Range
from market.ingest.progress import START_UP, ProgressReport
from market.pipeline import PipelineError

LAST_ERROR_LENGTH = 300


async def synced(
    series: SeriesId,
    filled: Callable[..., Awaitable[FillResult]],
    span: Range,
    *,
    head: Callable[[], int | None],
    on_page: OnPage | None = None,
) -> FillResult:
    """Fill a span as a part of the start-up sync, and report how it goes.

    `filled` is called with `on_page`; `head` returns the stored head. Raises what `filled` raises.
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
    error, is_whole, reason = "", False, ""
    try:
        result = await filled(on_page=page_read)
        is_whole = result.through == end and not result.missing_ranges
        reason = result.reasons.get(GapState.UNSERVED, "")
    except Exception as failure:
        error = reason_of(failure)
        raise
    finally:
        await report.end(error=error, is_whole=is_whole, reason=reason)
        after = head()
        emit(
            "write.startup.kline_sync.series_done",
            series,
            {
                "target_time": end,
                "before_head_time": before,
                "after_head_time": after,
                "covered_candles": covered,
                "lagging": not error and (after is None or after < end),
                "duration_ms": milliseconds_since(started),
            },
            message=error,
            level="error" if error else "info",
        )
    return result


def reason_of(error: Exception) -> str:
    """What the operator reads of an error; of a failed stage also what it raised."""
    text = error.reason if isinstance(error, PipelineError) else str(error)
    return text[:LAST_ERROR_LENGTH]
