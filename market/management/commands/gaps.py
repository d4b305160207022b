"""Lists the gaps of a series, and fills them from its exchange."""

from __future__ import annotations

import asyncio
import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from tqdm import tqdm

from market.domain.feed import FeedError
from market.domain.gaps import Gap
from market.domain.series import SeriesId
from market.exchanges.ccxt_feed import open_feed
from market.ingest.backfill import fill, merged
from market.management.arguments import require_candles, series_argument, shown, time_argument
from market.pipeline import PipelineError
from market.runtime import candle_store

# Gaps closer to each other than this many candles are requested together.
REACH = 200


class Command(BaseCommand):
    """The exact list with totals."""

    help = (
        "List every gap between stored candles: open times (UTC) of the first and the last "
        "missing candle and how many are missing. With --repair, request them from the exchange; "
        "what it does not have either is recorded in the gap ledger as absent."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument("series", type=series_argument, help="exchange:market:symbol:timeframe")
        parser.add_argument("--from", dest="start", type=time_argument, help="first open time")
        parser.add_argument("--to", dest="end", type=time_argument, help="last open time")
        parser.add_argument("--repair", action="store_true", help="fill the gaps")
        parser.add_argument("--json", action="store_true", help="print JSON, times in Unix seconds")

    def handle(self, *args: Any, **options: Any) -> None:
        """Print the gaps; with --repair, fill them and print what is left."""
        series = options["series"]
        require_candles(series)
        self._print(series, _gaps(series, options), as_json=options["json"])
        if not options["repair"]:
            return
        found = _gaps(series, options)
        self._repair(series, found)
        left = _gaps(series, options)
        filled = _missing(found) - _missing(left)
        self.stderr.write(
            f"{filled:,} candles filled, {_missing(left):,} in {len(left):,} gaps are left"
        )

    def _print(self, series: SeriesId, rows: list[dict[str, int]], *, as_json: bool) -> None:
        if as_json:
            self.stdout.write(json.dumps(rows, indent=2))
            return
        for row in rows:
            first, last = shown(row["from_time"]), shown(row["to_time"])
            self.stdout.write(f"{first} .. {last}  {row['missing_candles']:,}")
        self.stdout.write(f"{series}: {len(rows):,} gaps, {_missing(rows):,} candles missing")

    def _repair(self, series: SeriesId, rows: list[dict[str, int]]) -> None:
        ranges = [(row["from_time"], row["to_time"]) for row in rows]
        wanted = merged(ranges, reach=REACH * series.timeframe.seconds)
        try:
            asyncio.run(_fill_all(series, wanted))
        except (FeedError, PipelineError) as error:
            raise CommandError(str(error)) from error


async def _fill_all(series: SeriesId, ranges: list[tuple[int, int]]) -> None:
    feed = open_feed(series.exchange, series.market)
    try:
        # disable=None shows the bar on a terminal only.
        for start, end in tqdm(ranges, desc=str(series), unit=" ranges", disable=None):
            await fill(feed, series, start, end)
    finally:
        await feed.close()


def _gaps(series: SeriesId, options: dict[str, Any]) -> list[dict[str, int]]:
    """Gaps in which at least one candle of the grid is missing."""
    found = candle_store().gaps(series, options["start"], options["end"])
    return [_as_row(gap, series) for gap in found if gap.missing_candles(series.timeframe)]


def _as_row(gap: Gap, series: SeriesId) -> dict[str, int]:
    missing = gap.missing_candles(series.timeframe)
    step = series.timeframe.seconds
    return {
        "from_time": gap.prev_time + step,
        "to_time": gap.prev_time + missing * step,
        "missing_candles": missing,
    }


def _missing(rows: list[dict[str, int]]) -> int:
    return sum(row["missing_candles"] for row in rows)
