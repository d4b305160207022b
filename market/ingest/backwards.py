"""History read from its newest page backwards, and the note that it is not complete yet.

A new series has its newest candles at once, so that its head is never an old one; what lies before
them is added from the right to the left. The stored candles join at every moment: whatever ends the
job leaves a shorter history and no hole, and the note lets the next job read the rest.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable

from market import blocking
from market.domain.feed import Feed, HistoryPage
from market.domain.lease_store import LeaseStoreUnavailable
from market.domain.series import SeriesId
from market.domain.store import Fence
from market.ingest.backfill import (
    NOT_ASKED,
    FillResult,
    IngestPorts,
    OnPage,
    fill,
    holes_between,
    noted_hole,
    runtime_ports,
)
from market.ingest.gap_ranges import GapState
from market.ingest.runtime import call, lease_store

logger = logging.getLogger(__name__)

# Each addition to the past makes factors compute from there to the head again, and watchers read
# it: so there are few. One is held in memory, and is one transaction.
MOST_AT_ONCE = 5_000
# A series that is not followed again within this time keeps the history that it has.
NOTED_S = 30 * 86_400.0


async def _nothing() -> None:
    """Nothing is to be done between two requests."""


class _AtOnce:
    """Answers for a range with one page: it is stored in one transaction."""

    def __init__(self, feed: Feed, between: Callable[[], Awaitable[None]]) -> None:
        self._feed = feed
        self._between = between

    async def history(self, series: SeriesId, start: int, end: int) -> AsyncIterator[HistoryPage]:
        """All pages of the range as one."""
        pages = []
        async for page in self._feed.history(series, start, end):
            pages.append(page)
            await self._between()
        if pages:
            yield HistoryPage(
                candles=[candle for page in pages for candle in page.candles],
                asked=(pages[0].asked[0], pages[-1].asked[1]),
                holes=tuple(hole for page in pages for hole in page.holes),
            )


async def fill_span(
    feed: Feed, series: SeriesId, start: int, end: int, *, on_page: OnPage
) -> FillResult:
    """Fill as `fill` does, but of a series without candles the newest page first."""
    ports = runtime_ports()
    if (await blocking.run(ports.store.state, series)).head is not None:
        return await fill(feed, series, start, end, on_page=on_page, ports=ports)
    newest = await fill_newest(feed, series, start, end, ports=ports, on_page=on_page)
    if newest.through is None:
        return newest
    older = await fill_backwards(feed, series, start, ports=ports, on_page=on_page)
    return older._replace(stored=older.stored + newest.stored, through=newest.through)


async def fill_newest(
    feed: Feed,
    series: SeriesId,
    start: int,
    end: int,
    *,
    ports: IngestPorts,
    on_page: OnPage,
    fence: Fence | None = None,
) -> FillResult:
    """Fill the newest page of ``start..end`` that has candles, as `fill` does; raises as that.

    The series has none yet. Pages after it may be empty, in a market without trades.
    """
    step = series.timeframe.seconds
    window = feed.page_candles(series) * step
    while True:
        first = max(start, end - window + step)
        result = await fill(feed, series, first, end, fence=fence, ports=ports, on_page=on_page)
        if result.through is not None or first <= start:
            return result
        end = first - step


async def fill_backwards(
    feed: Feed,
    series: SeriesId,
    start: int,
    *,
    ports: IngestPorts,
    on_page: OnPage,
    fence: Fence | None = None,
    between: Callable[[], Awaitable[None]] = _nothing,
) -> FillResult:
    """Fill what lies between `start` and the first stored candle; raises as `fill`.

    The stored candles join at every moment. `between` is awaited after each answer.
    """
    step = series.timeframe.seconds
    source = _AtOnce(feed, between)
    stored, through = 0, None
    reasons: dict[GapState, str] = {}
    first = await blocking.run(ports.store.first, series)
    # With the first stored candle: then one answer shows candles on both sides of a quiet time.
    end = start if first is None else first
    while start < end:
        begin = max(start, end - MOST_AT_ONCE * step)
        result = await fill(source, series, begin, end, fence=fence, ports=ports, on_page=on_page)
        stored, through = stored + result.stored, through or result.through
        reasons.update(result.reasons)
        before, first = first, await blocking.run(ports.store.first, series)
        end = begin if first is None or first == before else first
    head = (await blocking.run(ports.store.state, series)).head
    # A hole wider than an addition has had no candle before it until now.
    span = (start, start if head is None else head)
    missing = await blocking.run(holes_between, ports.store, series, span)
    entries = [noted_hole(series, each, state=GapState.OPEN, reason=NOT_ASKED) for each in missing]
    await blocking.run(ports.ledger.record, *entries)
    return FillResult(stored, missing, through, reasons)


async def note_unfinished(series: SeriesId) -> None:
    """Note that the history of a new series is not complete yet."""
    try:
        await call(lease_store().claim, _marker(series), ttl=NOTED_S)
    except LeaseStoreUnavailable as error:
        logger.warning("%s: its history may stay short: %s", series, error)


async def is_unfinished(series: SeriesId) -> bool:
    """Whether that is noted."""
    try:
        return await call(lease_store().is_claimed, _marker(series))
    except LeaseStoreUnavailable as error:
        logger.warning("%s: its history may stay short: %s", series, error)
        return False


async def note_finished(series: SeriesId) -> None:
    """Remove the note."""
    try:
        await call(lease_store().unclaim, _marker(series))
    except LeaseStoreUnavailable as error:
        logger.info("%s: its history will be looked at again: %s", series, error)


def _marker(series: SeriesId) -> str:
    return f"history:{series}"
