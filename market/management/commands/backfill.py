"""Reads part of a series' history from its exchange into the store."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from argparse import ArgumentParser
from collections import Counter
from collections.abc import Mapping
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from tenacity import AsyncRetrying, RetryCallState, stop_after_attempt, wait_exponential_jitter
from tenacity.retry import retry_if_exception
from tqdm import tqdm

from market import blocking
from market.domain.feed import FeedError, FeedRefused, HistoryPage, HistorySource, RateLimited
from market.domain.gaps import merged
from market.domain.series import SeriesId
from market.exchanges.ccxt_feed import CcxtFeed, open_feed
from market.ingest.backfill import (
    IngestPorts,
    OnPage,
    fill,
    holes_between,
    missing_between,
    runtime_ports,
)
from market.ingest.gap_ranges import GapEntry, GapState, Range, without_all
from market.ingest.ledgers import request_bring_up
from market.ingest.trade_check import check_trades
from market.management.arguments import (
    require_database,
    shown,
    time_argument,
    written_series_argument,
)
from market.management.outcomes import counts_by_state, failed, unserved
from market.pipeline import PipelineError
from market.runtime import derived_timeframes, oldest_wanted

ATTEMPTS = 8
# Ranges closer to each other than this many candles are read as one.
REACH = 500
_backoff = wait_exponential_jitter(initial=1, max=30)


def _pause(state: RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    return max(_backoff(state), error.retry_after_s if isinstance(error, RateLimited) else 0.0)


def _is_temporary(error: BaseException) -> bool:
    return isinstance(error, FeedError) and not isinstance(error, FeedRefused)


async def backfill(
    feed: HistorySource, series: SeriesId, span: Range, *, ports: IngestPorts, on_page: OnPage
) -> dict[GapState, str]:
    """Read what is not stored of `span` and not known to be quiet.

    Return the first reason of each kind of hole. Raises FeedError after ATTEMPTS attempts.
    """
    step = series.timeframe.seconds
    reasons: dict[GapState, str] = {}
    for first, last in merged(await blocking.run(_wanted, ports, series, span), reach=REACH * step):
        found = await _read(feed, series, (first, last), ports=ports, on_page=on_page)
        reasons = {**found, **reasons}
    return reasons


def _wanted(ports: IngestPorts, series: SeriesId, span: Range) -> list[Range]:
    """What is missing, with the candle on each side: only an answer with both shows it quiet."""
    step = series.timeframe.seconds
    quiet = ports.ledger.entries(series, states=[GapState.QUIET], within=span)
    known = [(entry.from_time, entry.to_time) for entry in quiet]
    return [
        (max(span[0], first - step), min(span[1], last + step))
        for missing in missing_between(ports.store, series, span)
        for first, last in without_all(missing, known, step)
    ]


async def _read(
    feed: HistorySource, series: SeriesId, span: Range, *, ports: IngestPorts, on_page: OnPage
) -> Mapping[GapState, str]:
    start = span[0]

    def on_stored(page: HistoryPage) -> None:
        nonlocal start
        start = page.asked[1] + series.timeframe.seconds
        on_page(page)

    async for attempt in AsyncRetrying(
        retry=retry_if_exception(_is_temporary),
        wait=_pause,
        stop=stop_after_attempt(ATTEMPTS),
        reraise=True,
    ):
        with attempt:
            result = await fill(feed, series, start, span[1], on_page=on_stored, ports=ports)
    return result.reasons


class Command(BaseCommand):
    """Safe to interrupt and to repeat: only what is missing is read."""

    help = (
        "Read the candles of SERIES between --from and --to from its exchange. Only what is not "
        "stored yet is read, so an interrupted backfill resumes where it stopped. It ends with 1 "
        "and the reason when the exchange does not serve some of them, and with 69 when it can't "
        "be reached now."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument(
            "series", type=written_series_argument, help="for example binance:spot:BTC/USDT:1m"
        )
        parser.add_argument(
            "--from",
            dest="start",
            type=time_argument,
            required=True,
            help="ISO date or Unix seconds",
        )
        parser.add_argument(
            "--to", dest="end", type=time_argument, help="ISO date or Unix seconds (default: now)"
        )
        parser.add_argument(
            "--from-trades",
            action="store_true",
            help="make the candles of trades, where the exchange serves those further back",
        )
        parser.add_argument(
            "--allow-differences",
            action="store_true",
            help="with --from-trades: go on although they differ from the exchange's own candles",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Read with a progress bar, and report what is stored and what is missing."""
        require_database()
        series = derived_timeframes().source_of(options["series"])
        try:
            feed = open_feed(series.exchange, series.market)
        except FeedRefused as error:
            raise failed(error) from error
        span = _on_grid(series, options["start"], options["end"])
        oldest = oldest_wanted(series, series.timeframe.latest_closed(time.time()))
        if span[1] < oldest:
            raise CommandError(f"{series} is kept from {shown(oldest)} on (TRADE_CANVAS_RETENTION)")
        if span[0] < oldest:
            self.stderr.write(f"read from {shown(oldest)} on only (TRADE_CANVAS_RETENTION)")
            span = (oldest, span[1])
        try:
            reasons = asyncio.run(self._run(feed, series, span, options))
        except (FeedError, PipelineError) as error:
            raise failed(error) from error
        if reasons is None:
            raise CommandError("interrupted; run it again to resume", returncode=130)
        refused = _noted(runtime_ports(), series, span, GapState.UNSERVED)
        if refused or GapState.UNSERVED in reasons:
            reason = refused[0].reason if refused else reasons[GapState.UNSERVED]
            raise unserved(reason, sum(entry.missing_candles for entry in refused))

    async def _run(
        self, feed: CcxtFeed, series: SeriesId, span: Range, options: Mapping[str, Any]
    ) -> Mapping[GapState, str] | None:
        """Return the reasons of what is missing; None when Ctrl-C interrupted between two pages."""
        ports = runtime_ports()
        working = asyncio.current_task()
        assert working is not None
        with contextlib.suppress(NotImplementedError):
            asyncio.get_running_loop().add_signal_handler(signal.SIGINT, working.cancel)
        total = (span[1] - span[0]) // series.timeframe.seconds + 1
        before = await blocking.run(ports.store.count, series, *span)
        with tqdm(total=total, initial=before, unit="candle", disable=None) as bar:
            try:
                source: HistorySource = feed
                if options["from_trades"]:
                    source = feed.trade_history()
                    await self._check(feed, source, series, options["allow_differences"])
                reasons = await backfill(
                    source,
                    series,
                    span,
                    ports=ports,
                    on_page=lambda page: bar.update(len(page.candles)),
                )
                await request_bring_up(series)
                return reasons
            except asyncio.CancelledError:
                working.uncancel()
                return None
            finally:
                await feed.close()
                bar.close()
                await self._sum_up(ports, series, span, before=before)

    async def _check(
        self, feed: CcxtFeed, trades: HistorySource, series: SeriesId, allows: bool
    ) -> None:
        """Compare candles made of trades with the exchange's own; raise CommandError if unlike."""
        found = await check_trades(feed, trades, series)
        fields = Counter(name for each in found.differences for name in each.fields)
        words = ", ".join(f"{name} {count}" for name, count in fields.items())
        text = f"{found.compared} candles made of trades compared with the exchange's"
        if not found.differences:
            self.stderr.write(f"{text}: {'equal' if found.compared else 'none to compare now'}")
            return
        text += f": {len(found.differences)} differ ({words or 'in which there are'})"
        if not allows:
            raise CommandError(f"{text}; nothing was read (--allow-differences)")
        self.stderr.write(text)

    async def _sum_up(
        self, ports: IngestPorts, series: SeriesId, span: Range, *, before: int
    ) -> None:
        step = series.timeframe.seconds
        after = await blocking.run(ports.store.count, series, *span)
        missing = await blocking.run(missing_between, ports.store, series, span)
        holes = await blocking.run(holes_between, ports.store, series, span)
        candles = sum((last - first) // step + 1 for first, last in missing)
        self.stdout.write(
            f"{series}: {after - before} candles stored, {after} in the store now, "
            f"{candles} missing, in {len(holes)} gaps between candles"
        )
        noted = await blocking.run(_noted, ports, series, span)
        for state, count in counts_by_state(noted).items():
            self.stdout.write(f"  {count} {state}")


def _noted(ports: IngestPorts, series: SeriesId, span: Range, *states: GapState) -> list[GapEntry]:
    """What the gap ledger has of a span, in one of the states if any are given."""
    wanted = states or tuple(set(GapState) - {GapState.REPAIRED})
    entries = ports.ledger.entries(series, states=wanted, within=span)
    return [part for entry in entries if (part := entry.part(*span)) is not None]


def _on_grid(series: SeriesId, start: int, end: int | None) -> Range:
    timeframe = series.timeframe
    newest = timeframe.latest_closed(time.time())
    first = -((timeframe.offset - start) // timeframe.seconds) * timeframe.seconds
    span = (
        first + timeframe.offset,
        min(newest, timeframe.open_of(newest if end is None else end)),
    )
    if span[0] > span[1]:
        raise CommandError("there is no closed candle between --from and --to")
    return span
