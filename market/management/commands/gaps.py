"""Lists the gaps of a series, and fills them from its exchange."""

from __future__ import annotations

import asyncio
import json
from argparse import ArgumentParser
from bisect import bisect_left
from dataclasses import replace
from typing import Any

from django.core.management.base import BaseCommand
from tqdm import tqdm

from market.domain.feed import FeedError
from market.domain.gaps import Gap, merged
from market.domain.series import SeriesId
from market.domain.timeframe import MAX_TIME
from market.exchanges.ccxt_feed import open_feed
from market.ingest.backfill import fill, runtime_ports, settle_stored
from market.ingest.gap_ledger import GapLedger
from market.ingest.gap_ranges import GapEntry, GapState, Range, common
from market.management.arguments import require_candles, series_argument, shown, time_argument
from market.management.outcomes import counts_by_state, failed, shown_entry
from market.pipeline import PipelineError
from market.runtime import candle_store

# Gaps closer to each other than this many candles are requested together.
REACH = 200


class Command(BaseCommand):
    """The exact list with totals."""

    help = (
        "List every gap between stored candles: open times (UTC) of the first and the last "
        "missing candle, how many are missing, and what the gap ledger knows of why. With "
        "--repair, request them from the exchange. What it does not serve, before the first "
        "stored candle or after the last, is listed as well."
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
        ports = runtime_ports()
        # What was imported is no gap any more.
        settle_stored(ports, series, _span(options))
        self._print(series, ports.ledger, options)
        if not options["repair"]:
            return
        found = _gaps(series, options)
        self._repair(series, found)
        left = _gaps(series, options)
        filled = _missing(found) - _missing(left)
        known, _ = _explained(left, self._entries(series, ports.ledger, options))
        self.stderr.write(
            f"{filled:,} candles filled, {_missing(left):,} in {len(left):,} gaps are left"
            + _by_state(known)
        )

    def _print(self, series: SeriesId, ledger: GapLedger, options: dict[str, Any]) -> None:
        gaps = _gaps(series, options)
        known, outside = _explained(gaps, self._entries(series, ledger, options))
        if options["json"]:
            rows = [
                {**gap, "parts": [_as_part(part) for part in parts]}
                for gap, parts in zip(gaps, known, strict=True)
            ]
            self.stdout.write(json.dumps(rows, indent=2))
            return
        for gap, parts in zip(gaps, known, strict=True):
            self._print_gap(gap, parts)
        for entry in outside:
            self.stdout.write(f"not stored yet: {_line(entry)}")
        total = f"{series}: {len(gaps):,} gaps, {_missing(gaps):,} candles missing"
        self.stdout.write(total + _by_state(known))

    def _entries(
        self, series: SeriesId, ledger: GapLedger, options: dict[str, Any]
    ) -> list[GapEntry]:
        states = set(GapState) - {GapState.REPAIRED}
        return ledger.entries(series, states=states, within=_span(options))

    def _print_gap(self, gap: dict[str, int], parts: list[GapEntry]) -> None:
        first, last = shown(gap["from_time"]), shown(gap["to_time"])
        line = f"{first} .. {last}  {gap['missing_candles']:,}"
        if len(parts) == 1 and parts[0].missing_candles == gap["missing_candles"]:
            self.stdout.write(f"{line}  {shown_entry(parts[0])}")
            return
        self.stdout.write(line)
        for part in parts:
            self.stdout.write(f"    {_line(part)}")

    def _repair(self, series: SeriesId, rows: list[dict[str, int]]) -> None:
        step = series.timeframe.seconds
        # With the candle on each side: only an answer that has both shows that one is quiet.
        ranges = [(row["from_time"] - step, row["to_time"] + step) for row in rows]
        wanted = merged(ranges, reach=REACH * step)
        try:
            asyncio.run(_fill_all(series, wanted))
        except (FeedError, PipelineError) as error:
            raise failed(error) from error


async def _fill_all(series: SeriesId, ranges: list[tuple[int, int]]) -> None:
    feed = open_feed(series.exchange, series.market)
    try:
        # disable=None shows the bar on a terminal only.
        for start, end in tqdm(ranges, desc=str(series), unit=" ranges", disable=None):
            await fill(feed, series, start, end)
    finally:
        await feed.close()


def _span(options: dict[str, Any]) -> Range:
    start, end = options["start"], options["end"]
    return 0 if start is None else start, MAX_TIME if end is None else end


def _gaps(series: SeriesId, options: dict[str, Any]) -> list[dict[str, int]]:
    """Gaps in which at least one candle of the grid is missing."""
    found = candle_store().gaps(series, options["start"], options["end"])
    return [_as_row(gap, series) for gap in found if gap.missing_candles(series.timeframe)]


def _explained(
    gaps: list[dict[str, int]], entries: list[GapEntry]
) -> tuple[list[list[GapEntry]], list[GapEntry]]:
    """For each gap the parts of entries that lie in it, and the entries that lie in none."""
    spans = [(gap["from_time"], gap["to_time"]) for gap in gaps]
    known: list[list[GapEntry]] = [[] for _ in gaps]
    met = set()
    for (start, end), number in common([(e.from_time, e.to_time) for e in entries], spans):
        met.add(number)
        part = replace(entries[number], from_time=start, to_time=end)
        known[bisect_left(spans, start, key=lambda span: span[1])].append(part)
    return known, [entry for number, entry in enumerate(entries) if number not in met]


def _by_state(known: list[list[GapEntry]]) -> str:
    counts = counts_by_state([part for parts in known for part in parts])
    return f" ({', '.join(f'{count:,} {state}' for state, count in counts.items())})" * bool(counts)


def _as_row(gap: Gap, series: SeriesId) -> dict[str, int]:
    missing = gap.missing_candles(series.timeframe)
    step = series.timeframe.seconds
    return {
        "from_time": gap.prev_time + step,
        "to_time": gap.prev_time + missing * step,
        "missing_candles": missing,
    }


def _as_part(entry: GapEntry) -> dict[str, Any]:
    evidence = entry.evidence
    return {
        "from_time": entry.from_time,
        "to_time": entry.to_time,
        "missing_candles": entry.missing_candles,
        "state": entry.state.value,
        "reason": entry.reason,
        "refused_rows": entry.rows,
        "asked": None if evidence is None else evidence.asked,
        "bars": None if evidence is None else evidence.bars,
        "attempts": entry.attempts,
        "next_attempt_at": entry.next_attempt_at,
    }


def _line(entry: GapEntry) -> str:
    first, last = shown(entry.from_time), shown(entry.to_time)
    return f"{first} .. {last}  {entry.missing_candles:,}  {shown_entry(entry)}"


def _missing(rows: list[dict[str, int]]) -> int:
    return sum(row["missing_candles"] for row in rows)
