"""Compares stored candles with those of their exchange, and repairs what differs."""

from __future__ import annotations

import asyncio
import json
import time
from argparse import ArgumentParser, ArgumentTypeError
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from tqdm import tqdm

from market.domain.feed import FeedError, Missing
from market.domain.series import SeriesId
from market.exchanges.ccxt_feed import open_feed
from market.ingest.audit import AuditReport, Difference, audit
from market.ingest.backfill import runtime_ports
from market.ingest.gap_ranges import Range
from market.management.arguments import require_candles, series_argument, shown, time_argument
from market.management.outcomes import failed
from market.pipeline import PipelineError
from market.runtime import derived_timeframes, oldest_wanted

# What is printed one by one; all are counted.
LISTED = 20
DAY_S = 86_400
MOST_DAYS = 36_525
# The newest candles may be on their way into the store: they are no difference yet.
UNSETTLED = 2
NOT_COMPARED = 2
"""The exit status when the exchange did not answer for everything."""

REASONS = {
    Missing.UNSERVED: "older than the exchange serves",
    Missing.UNANSWERED: "not answered by the exchange",
    Missing.DROPPED: "refused by our check of the exchange's rows",
}


def days_argument(text: str) -> float:
    """A number of days above 0, for argparse."""
    try:
        days = float(text)
    except ValueError as error:
        raise ArgumentTypeError(f"not a number of days: {text}") from error
    if not 0 < days <= MOST_DAYS:
        raise ArgumentTypeError(f"must lie between 0 and {MOST_DAYS} days")
    return days


class Command(BaseCommand):
    """Read-only without --repair."""

    help = (
        "Compare the stored candles of SERIES with the exchange's, one page at a time, and report "
        "what is missing in the store, what differs and in which fields, and what only the store "
        "has. With --repair, store the exchange's candles where they differ or are missing. Exit "
        "status 0: equal, or repaired; 1: different; 2: not everything could be compared; 69: the "
        "exchange can't be reached now."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument("series", type=series_argument, help="exchange:market:symbol:timeframe")
        parser.add_argument(
            "--days", type=days_argument, default=7.0, help="how far back from now (default: 7)"
        )
        parser.add_argument(
            "--from", dest="start", type=time_argument, help="first open time, instead of --days"
        )
        parser.add_argument("--to", dest="end", type=time_argument, help="last open time")
        parser.add_argument("--repair", action="store_true", help="store the exchange's candles")
        parser.add_argument("--json", action="store_true", help="print JSON, times in Unix seconds")

    def handle(self, *args: Any, **options: Any) -> None:
        """Compare, print the result, and end with the status that fits it."""
        series = derived_timeframes().source_of(options["series"])
        require_candles(series)
        span = _span(series, options)
        listed: list[Difference] = []
        try:
            report = asyncio.run(_audited(series, span, listed, repair=options["repair"]))
        except (FeedError, PipelineError) as error:
            raise failed(error) from error
        if options["json"]:
            self.stdout.write(json.dumps(_as_object(series, span, report, listed), indent=2))
        else:
            self._print(series, report, listed)
        if report.left:
            raise CommandError(f"{series}: {report.left:,} candles differ from the exchange's")
        unserved = report.unproven[Missing.UNSERVED]
        if not report.compared or report.unproven.total() > unserved:
            raise CommandError(f"{series}: not compared in whole", returncode=NOT_COMPARED)

    def _print(self, series: SeriesId, report: AuditReport, listed: list[Difference]) -> None:
        for each in listed:
            self.stdout.write(f"{shown(each.candle_time)}  {_words(each)}")
        if report.compared - report.equal > len(listed):
            self.stdout.write(f"… and {report.compared - report.equal - len(listed):,} more")
        fields = ", ".join(f"{name} {count:,}" for name, count in report.by_field.most_common())
        self.stdout.write(
            f"{series}: {report.compared:,} compared, {report.equal:,} equal, "
            f"{report.missing:,} missing, {report.differing:,} differing"
            f"{f' ({fields})' if fields else ''}, {report.extra:,} extra, "
            f"{report.repaired:,} repaired"
        )
        for why, count in report.unproven.items():
            self.stdout.write(f"{count:,} stored candles were not compared: {REASONS[why]}")


async def _audited(
    series: SeriesId, span: Range, listed: list[Difference], *, repair: bool
) -> AuditReport:
    """Run the audit with a progress bar; the first differences are added to `listed`."""

    def keep(difference: Difference) -> None:
        if len(listed) < LISTED:
            listed.append(difference)

    feed = open_feed(series.exchange, series.market)
    total = (span[1] - span[0]) // series.timeframe.seconds + 1
    try:
        # disable=None shows the bar on a terminal only.
        with tqdm(total=total, unit="candle", disable=None) as bar:
            return await audit(
                feed,
                series,
                *span,
                ports=runtime_ports(),
                repair=repair,
                on_difference=keep,
                on_page=lambda page: bar.update(
                    (page.asked[1] - page.asked[0]) // series.timeframe.seconds + 1
                ),
            )
    finally:
        await feed.close()


def _span(series: SeriesId, options: dict[str, Any]) -> Range:
    timeframe, now = series.timeframe, time.time()
    newest = timeframe.latest_closed(now)
    first = options["start"]
    if first is None:
        first = max(0, int(now - options["days"] * DAY_S))
    start = max(timeframe.open_of(first + timeframe.seconds - 1), oldest_wanted(series, newest))
    end = newest - UNSETTLED * timeframe.seconds
    if options["end"] is not None:
        end = min(end, timeframe.open_of(options["end"]))
    if start > end:
        raise CommandError("there is no closed candle between --from and --to")
    return start, end


def _words(difference: Difference) -> str:
    if difference.stored is None:
        return "missing in the store"
    if difference.exchange is None:
        return "extra: the exchange has none"
    ours, theirs = difference.stored, difference.exchange
    return ", ".join(
        f"{name} {getattr(ours, name)!r} stored, {getattr(theirs, name)!r} on the exchange"
        for name in difference.fields
    )


def _as_object(
    series: SeriesId, span: Range, report: AuditReport, listed: list[Difference]
) -> dict[str, Any]:
    return {
        "series_id": str(series),
        "from_time": span[0],
        "to_time": span[1],
        "compared": report.compared,
        "equal": report.equal,
        "missing": report.missing,
        "differing": report.differing,
        "differing_fields": dict(report.by_field),
        "extra": report.extra,
        "repaired": report.repaired,
        "not_compared": {str(why): count for why, count in report.unproven.items()},
        "differences": [
            {
                "candle_time": each.candle_time,
                "stored": each.stored and each.stored.as_object(),
                "exchange": each.exchange and each.exchange.as_object(),
            }
            for each in listed
        ],
    }
