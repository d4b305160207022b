"""Candles that the store lacks: requesting them, fetching them, and settling the gap ledger."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from functools import partial

from django.conf import settings
from django.db import DatabaseError

from market import blocking
from market.domain.feed import Feed, FeedError, FeedRefused
from market.domain.lease_store import BackfillProgress, LeaseStoreUnavailable
from market.domain.series import SeriesId
from market.domain.store import SeriesDamaged
from market.exchanges import ccxt_feed
from market.ingest import dispatch
from market.ingest.admission import is_admitted
from market.ingest.backfill import REASONS, UNREACHABLE, missing_between
from market.ingest.backwards import fill_span
from market.ingest.derive import source_range
from market.ingest.gap_ledger import GapLedger, ledger
from market.ingest.gap_ranges import GapEntry, GapState, Range, is_due, without_all
from market.ingest.ledgers import request_bring_up
from market.ingest.progress import REPAIR, TAIL, ProgressReport
from market.ingest.runtime import call, lease_store
from market.models import REASON_LENGTH
from market.pipeline import PipelineError
from market.runtime import candle_store, derived_timeframes, oldest_wanted

log = logging.getLogger(__name__)

OpenFeed = Callable[[str, str], Feed]

GAP = "gap"
MAX_BACKFILL_S = 600.0
# A request that no worker has taken after this time is dropped, and may be made again.
REQUEST_TTL_S = 120.0
TAIL_COOL_DOWN_S = 2.0
# Of one round: requests for history, and holes. Holes at most REPAIR_REACH candles apart are asked
# for together, as long as that are at most REPAIR_LENGTH candles.
REPAIRS_AT_ONCE = 20
DUE_AT_ONCE = 1_000
REPAIR_REACH = 200
REPAIR_LENGTH = 5_000
# Of the base, for the newest candles of a derived series: a page of days is a million minutes.
MOST_BASE_CANDLES = 20_000
POLL_S = 0.05


# What the exchange has answered: it is asked again only when that is due.
_ANSWERED = (GapState.QUIET, GapState.UNSERVED, GapState.UNANSWERED, GapState.DROPPED)


def is_supported(series: SeriesId) -> bool:
    """Whether a feed can be opened for the series, or for the base that it is derived of."""
    timeframe = derived_timeframes().source_of(series).timeframe
    return timeframe.calendar is None and series.exchange in ccxt_feed.known_exchanges()


# Requests


def request_backfill(series: SeriesId, start: int, end: int, *, reason: str = GAP) -> bool:
    """Have a range fetched soon, by a worker or in this process. Blocking.

    False when it can't be requested now. A range that is being fetched is not requested twice. A
    guarded reader leaves the fetching to workers; one without workers requests nothing.
    """
    if not settings.SWITCHES.ingest_can_be_requested:
        return False
    series, start, end = source_range(series, start, end)
    marker = _marker(series, start, end)
    try:
        if not lease_store().claim(marker, ttl=REQUEST_TTL_S):
            return True
        if dispatch.request(
            dispatch.BACKFILL,
            str(series),
            start,
            end,
            reason,
            expires=REQUEST_TTL_S,
            here=partial(backfill_range, series, start, end, reason=reason),
        ):
            return True
        lease_store().unclaim(marker)
    except LeaseStoreUnavailable as error:
        log.warning("backfill of %s can't be requested: %s", series, error)
    return False


def request_repairs(entries: Sequence[GapEntry]) -> int:
    """Have gaps asked for again soon; return how many requests were made. Blocking.

    The rest of very many is left to the rounds of `repair_due`.
    """
    groups = _together(entries)[:REPAIRS_AT_ONCE]
    return sum(
        request_backfill(group[0].series, group[0].from_time, group[-1].to_time) for group in groups
    )


def is_requested(series: SeriesId, start: int, end: int) -> bool:
    """Whether a range that was requested waits for a worker, or is being fetched. Blocking.

    Raises LeaseStoreUnavailable.
    """
    return lease_store().is_claimed(_marker(series, start, end))


def _marker(series: SeriesId, start: int, end: int) -> str:
    return f"backfill:{series}:{start}:{end}"


def request_newest(series: SeriesId, candles: int) -> bool:
    """Have the newest closed candles fetched, stored already or not. Blocking."""
    series, candles = _source_of(series, candles)
    start, end = _tail(series, candles)
    return request_backfill(series, start, end)


def request_tail(series: SeriesId, candles: int) -> bool:
    """Have the newest `candles` closed candles completed if some are missing. Blocking.

    True when a backfill was requested; at most one each two seconds for a series. A series without
    candles must be one that may be followed.
    """
    if not (settings.SWITCHES.enable_ccxt_backfill and is_supported(series)):
        return False
    series, candles = _source_of(series, candles)
    try:
        # In the lease store, not a throttle of this process: all instances share it.
        if not lease_store().claim(f"tail:{series}", ttl=TAIL_COOL_DOWN_S):
            return False
        start, end = _tail(series, candles)
        if end < start or _is_covered(series, start, end):
            return False
        head = candle_store().state(series).head
        if head is None and not is_admitted(series):
            return False
        now = int(time.time())
        started = BackfillProgress(
            state="running",
            started_at=now,
            updated_at=now,
            reason=TAIL,
            start_missing_seconds=end if head is None else max(0, end - head),
        )
        lease_store().set_progress(series, started)
    except LeaseStoreUnavailable:
        return False
    return request_backfill(series, start, end, reason=TAIL)


def _source_of(series: SeriesId, candles: int) -> tuple[SeriesId, int]:
    """What to fetch for the newest candles: of a derived series some of its base."""
    base = derived_timeframes().base_of(series)
    if base is None:
        return series, candles
    wanted = candles * series.timeframe.seconds // base.timeframe.seconds
    return base, min(wanted, MOST_BASE_CANDLES)


def _tail(series: SeriesId, candles: int) -> Range:
    end = series.timeframe.latest_closed(time.time())
    start = end - (candles - 1) * series.timeframe.seconds
    return max(series.timeframe.offset, start, oldest_wanted(series, end)), end


def _is_covered(series: SeriesId, start: int, end: int) -> bool:
    """Whether nothing is missing, or nothing that the exchange would be asked for now."""
    expected = (end - start) // series.timeframe.seconds + 1
    return candle_store().count(series, start, end) >= expected or not _asked_now(
        series, start, end
    )


def _asked_now(series: SeriesId, start: int, end: int) -> bool:
    """Whether candles are missing that are neither final nor wait for their next attempt."""
    now, step = time.time(), series.timeframe.seconds
    known = [
        (entry.from_time, entry.to_time)
        for entry in ledger().entries(series, states=_ANSWERED, within=(start, end))
        if not is_due(entry, now)
    ]
    missing = missing_between(candle_store(), series, (start, end))
    return any(without_all(each, known, step) for each in missing)


async def repair_gap(series: SeriesId, start: int, end: int, timeout: float) -> bool:
    """Have a gap filled and wait for it, `timeout` seconds at most.

    True when at least one of its candles was stored meanwhile. Times are the open times of the
    first and the last missing candle.
    """
    if not (settings.SWITCHES.enable_ccxt_backfill and is_supported(series)):
        return False
    series, start, end = source_range(series, start, end)
    before = await blocking.run(candle_store().count, series, start, end)
    if not await blocking.run(_request_repair, series, start, end):
        return False
    try:
        async with asyncio.timeout(timeout):
            await _fetched(series, start, end)
    except TimeoutError:
        log.info("repair of %s from %d to %d is still running", series, start, end)
    return await blocking.run(candle_store().count, series, start, end) > before


def _request_repair(series: SeriesId, start: int, end: int) -> bool:
    return _asked_now(series, start, end) and request_backfill(series, start, end)


async def _fetched(series: SeriesId, start: int, end: int) -> None:
    """Wait until a requested backfill has ended or all its candles are stored."""
    whole = (end - start) // series.timeframe.seconds + 1
    pause = POLL_S
    while await call(lease_store().is_claimed, _marker(series, start, end)):
        if await blocking.run(candle_store().count, series, start, end) >= whole:
            return
        await asyncio.sleep(pause)
        pause = min(1.0, pause * 1.5)


# Work


async def backfill_range(
    series: SeriesId,
    start: int,
    end: int,
    *,
    reason: str = GAP,
    open_feed: OpenFeed = ccxt_feed.open_feed,
) -> bool:
    """Fetch and store the candles from `start` to `end` (open times, inclusive).

    The gap ledger is brought up to date, and the progress is reported. False when the exchange or
    the store failed: the gaps stay open.
    """
    series, start, end = source_range(series, start, end)
    error, refused, result = "", False, None
    wanted = max(0, end - start) // series.timeframe.seconds + 1
    report = ProgressReport(series, TAIL if reason == TAIL else REPAIR, wanted=wanted)
    await report.begin()
    try:
        async with asyncio.timeout(MAX_BACKFILL_S):
            feed = open_feed(series.exchange, series.market)
            try:
                span = await blocking.run(_with_neighbours, series, start, end)
                result = await fill_span(feed, series, *span, on_page=report.page_read)
            finally:
                await feed.close()
    except (FeedError, PipelineError, SeriesDamaged, TimeoutError) as failure:
        error, refused = str(failure) or type(failure).__name__, isinstance(failure, FeedRefused)
        log.warning("backfill of %s from %d to %d failed: %s", series, start, end, error)
    await blocking.run(
        settle, ledger(), series, (start, end), error=error, refusal=error if refused else ""
    )
    if result is None or result.stored:
        await request_bring_up(series)
    await report.end(
        error=error,
        is_whole=result is not None
        and result.through is not None
        and result.through >= end
        and not result.missing_ranges,
        reason=result.reasons.get(GapState.UNSERVED, "") if result is not None else "",
    )
    try:
        await call(lease_store().unclaim, _marker(series, start, end))
    except LeaseStoreUnavailable as failure:
        log.warning("the end of a backfill of %s was not recorded: %s", series, failure)
    return not error


def _with_neighbours(series: SeriesId, start: int, end: int) -> Range:
    """A range with the stored candle on each side: only an answer with both shows it quiet."""
    store, step = candle_store(), series.timeframe.seconds
    before, behind = start - step, end + step
    if store.count(series, before, before):
        start = before
    if store.count(series, behind, behind):
        end = behind
    return start, end


def settle(
    ledger: GapLedger, series: SeriesId, span: Range, *, error: str = "", refusal: str = ""
) -> None:
    """End the repairs within `span` that the fill has not settled. Blocking.

    A refusal of the whole series is final until "try again"; after an `error`, and after an answer
    that shows nothing, the gap is requested again.
    """
    if refusal:
        state, reason = GapState.UNSERVED, refusal[:REASON_LENGTH]
    elif error:
        state, reason = GapState.OPEN, UNREACHABLE
    else:
        state, reason = GapState.UNANSWERED, REASONS[GapState.UNANSWERED]
    ledger.set_state(series, span, state=state, was=[GapState.REPAIRING], reason=reason)


async def repair_due(
    *, stopping: Callable[[], bool], open_feed: OpenFeed = ccxt_feed.open_feed
) -> int:
    """Ask again for the gaps whose time has come; return how many requests that took."""
    gaps = ledger()
    due = await blocking.run(gaps.due, limit=DUE_AT_ONCE)
    tried = 0
    for entries in _together(due)[:REPAIRS_AT_ONCE]:
        if stopping():
            break
        begun = await blocking.run(gaps.begin_repairs, entries)
        if not begun:
            continue
        series, span = begun[0].series, (begun[0].from_time, begun[-1].to_time)
        if not is_supported(series):
            # Its pauses grow, so that it is not in the way of others.
            await blocking.run(settle, gaps, series, span, error="unknown exchange")
            continue
        tried += 1
        try:
            await backfill_range(series, *span, open_feed=open_feed)
        except (LeaseStoreUnavailable, DatabaseError):
            raise
        except Exception:
            # It stays as repairing and becomes due again; the others must not wait for it.
            log.exception("the repair of a gap of %s failed", series)
    return tried


def _together(due: Sequence[GapEntry]) -> list[list[GapEntry]]:
    """Due gaps that one request each can ask for, those due longest first."""
    groups: list[list[GapEntry]] = []
    for entry in sorted(due, key=lambda entry: (str(entry.series), entry.from_time)):
        step = entry.series.timeframe.seconds
        last = groups[-1] if groups else None
        if (
            last is not None
            and last[0].series == entry.series
            and entry.from_time - last[-1].to_time <= REPAIR_REACH * step
            and entry.to_time - last[0].from_time < REPAIR_LENGTH * step
        ):
            last.append(entry)
        else:
            groups.append([entry])
    return sorted(groups, key=lambda group: min(each.next_attempt_at or 0.0 for each in group))
