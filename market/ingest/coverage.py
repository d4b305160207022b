"""Candles that are missing in the store: asked for, fetched, and accounted for in the ledger."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial

from django.conf import settings

from market import blocking
from market.domain.feed import Feed, FeedError
from market.domain.lease_store import BackfillProgress, LeaseStoreUnavailable
from market.domain.series import SeriesId
from market.exchanges import ccxt_feed
from market.ingest import dispatch
from market.ingest.backfill import fill
from market.ingest.background import BACKGROUND
from market.ingest.gap_ledger import MAX_ATTEMPTS, GapLedger, ledger
from market.ingest.gap_ranges import GapState, Range
from market.ingest.runtime import ask, lease_store
from market.pipeline import PipelineError
from market.runtime import candle_store

log = logging.getLogger(__name__)

OpenFeed = Callable[[str, str], Feed]

TAIL = "tail_coverage"
GAP = "gap"
MAX_BACKFILL_S = 600.0
# A request that no worker took up in this time is dropped, and may be made again.
REQUEST_TTL_S = 120.0
TAIL_COOL_DOWN_S = 2.0
REPAIRS_AT_ONCE = 20
POLL_S = 0.05


async def backfill_range(
    series: SeriesId,
    start: int,
    end: int,
    *,
    reason: str = GAP,
    open_feed: OpenFeed = ccxt_feed.open_feed,
) -> bool:
    """Fetch and store the candles from `start` to `end` (open times, inclusive).

    The ledger learns what came and what did not; with reason TAIL the progress of the series too.
    False when the exchange could not be asked or the store not written: the holes stay open.
    """
    error, is_whole = "", False
    try:
        async with asyncio.timeout(MAX_BACKFILL_S):
            is_whole = await _fetch(series, start, end, open_feed=open_feed)
    except (FeedError, PipelineError, TimeoutError) as failure:
        error = str(failure) or type(failure).__name__
        log.warning("backfill of %s from %d to %d failed: %s", series, start, end, error)
    await blocking.run(settle, ledger(), series, (start, end), answered=not error)
    progress = partial(_ended, error=error, is_whole=is_whole)
    await ask(_end, series, start, end, progress=progress if reason == TAIL else None)
    return not error


async def _fetch(series: SeriesId, start: int, end: int, *, open_feed: OpenFeed) -> bool:
    feed = open_feed(series.exchange, series.market)
    try:
        result = await fill(feed, series, start, end)
        return result.through == end and not result.missing_ranges
    finally:
        await feed.close()


def settle(ledger: GapLedger, series: SeriesId, span: Range, *, answered: bool) -> None:
    """End the repairs within `span` that the fill has not settled itself. Blocking.

    What was tried often enough, with the exchange answering, is absent; the rest is open again.
    """
    for entry in ledger.entries(series, states=[GapState.REPAIRING]):
        if (tried := entry.part(*span)) is not None:
            given_up = answered and entry.attempts >= MAX_ATTEMPTS
            state = GapState.ABSENT if given_up else GapState.OPEN
            here = (tried.from_time, tried.to_time)
            ledger.set_state(series, here, state=state, was=GapState.REPAIRING)


def _end(
    series: SeriesId,
    start: int,
    end: int,
    *,
    progress: Callable[[BackfillProgress], BackfillProgress] | None,
) -> None:
    known = lease_store()
    try:
        known.unclaim(_marker(series, start, end))
        if progress is not None:
            known.set_progress(series, progress(known.progress(series)))
    except LeaseStoreUnavailable as unavailable:
        log.warning("the end of a backfill of %s went unnoticed: %s", series, unavailable)


def _ended(progress: BackfillProgress, *, error: str, is_whole: bool) -> BackfillProgress:
    now = int(time.time())
    if error:
        note = f"{TAIL}_best_effort_failed"
        return replace(progress, state="failed", updated_at=now, note=note, error=error)
    note = f"{TAIL}_done" if is_whole else f"{TAIL}_partial"
    return replace(progress, state="succeeded", updated_at=now, note=note, error=None)


def request_backfill(series: SeriesId, start: int, end: int, *, reason: str = GAP) -> bool:
    """Have a range fetched soon, by a worker or beside this process's work. Blocking.

    False when nobody can be asked now. A range that is under way is not asked for twice. A guarded
    read-only instance asks for nothing.
    """
    if not settings.SWITCHES.ingest_jobs_enabled:
        return False
    try:
        if not lease_store().claim(_marker(series, start, end), ttl=REQUEST_TTL_S):
            return True
        if _hand_over(series, start, end, reason=reason):
            return True
        lease_store().unclaim(_marker(series, start, end))
    except LeaseStoreUnavailable as error:
        log.warning("backfill of %s can't be asked for: %s", series, error)
    return False


def _hand_over(series: SeriesId, start: int, end: int, *, reason: str) -> bool:
    if settings.SWITCHES.ingest_in_process:
        return BACKGROUND.submit(partial(backfill_range, series, start, end, reason=reason))
    return dispatch.send(dispatch.BACKFILL, str(series), start, end, reason, expires=REQUEST_TTL_S)


def _marker(series: SeriesId, start: int, end: int) -> str:
    return f"backfill:{series}:{start}:{end}"


def request_newest(series: SeriesId, candles: int) -> bool:
    """Have the newest closed candles fetched, stored already or not. Blocking."""
    start, end = _tail(series, candles)
    return request_backfill(series, start, end)


def request_tail(series: SeriesId, candles: int) -> bool:
    """Have the newest `candles` closed candles completed, if some are missing. Blocking.

    Tells whether a backfill was asked for; at most every two seconds a series.
    """
    if not (settings.SWITCHES.enable_ccxt_backfill and is_supported(series)):
        return False
    try:
        if not lease_store().claim(f"tail:{series}", ttl=TAIL_COOL_DOWN_S):
            return False
        start, end = _tail(series, candles)
        if end < start or _is_covered(series, start, end):
            return False
        _track(series, end)
    except LeaseStoreUnavailable:
        return False
    return request_backfill(series, start, end, reason=TAIL)


def _tail(series: SeriesId, candles: int) -> Range:
    end = series.timeframe.latest_closed(time.time())
    return max(series.timeframe.offset, end - (candles - 1) * series.timeframe.seconds), end


def _is_covered(series: SeriesId, start: int, end: int) -> bool:
    step = series.timeframe.seconds
    absent = (e.part(start, end) for e in ledger().entries(series, states=[GapState.ABSENT]))
    known = sum((part.to_time - part.from_time) // step + 1 for part in absent if part)
    return candle_store().count(series, start, end) + known >= (end - start) // step + 1


def _track(series: SeriesId, end: int) -> None:
    head = candle_store().state(series).head
    now = int(time.time())
    started = BackfillProgress(
        state="running",
        started_at=now,
        updated_at=now,
        reason=TAIL,
        start_missing_seconds=end if head is None else max(0, end - head),
    )
    lease_store().set_progress(series, started)


def is_supported(series: SeriesId) -> bool:
    """Whether any feed can be opened for the series."""
    return series.exchange in ccxt_feed.known_exchanges()


async def repair_gap(series: SeriesId, start: int, end: int, timeout: float) -> bool:
    """Have a hole filled and wait for it, `timeout` seconds at most.

    Answers whether at least one of its candles is there now that was not before. Times are the
    open times of the first and the last missing candle.
    """
    if not (settings.SWITCHES.enable_ccxt_backfill and is_supported(series)):
        return False
    before = await blocking.run(candle_store().count, series, start, end)
    if not await blocking.run(_ask_for_repair, series, start, end):
        return False
    try:
        async with asyncio.timeout(timeout):
            await _ended_or_whole(series, start, end)
    except TimeoutError:
        log.info("repair of %s from %d to %d goes on unwatched", series, start, end)
    return await blocking.run(candle_store().count, series, start, end) > before


def _ask_for_repair(series: SeriesId, start: int, end: int) -> bool:
    noted = ledger().entries(series, states=[GapState.ABSENT])
    if any(entry.from_time <= start and end <= entry.to_time for entry in noted):
        return False
    return request_backfill(series, start, end)


async def _ended_or_whole(series: SeriesId, start: int, end: int) -> None:
    whole = (end - start) // series.timeframe.seconds + 1
    pause = POLL_S
    while await ask(lease_store().is_claimed, _marker(series, start, end)):
        if await blocking.run(candle_store().count, series, start, end) >= whole:
            return
        await asyncio.sleep(pause)
        pause = min(1.0, pause * 1.5)


async def repair_due(
    *, stopping: Callable[[], bool], open_feed: OpenFeed = ccxt_feed.open_feed
) -> int:
    """Try the holes again whose time has come; how many were tried."""
    known = ledger()
    due = await blocking.run(known.due, limit=REPAIRS_AT_ONCE)
    tried = 0
    for entry in due:
        if stopping():
            break
        if is_supported(entry.series) and await blocking.run(known.begin_repair, entry):
            tried += 1
            span = (entry.from_time, entry.to_time)
            await backfill_range(entry.series, *span, open_feed=open_feed)
    return tried
