"""Lists the stored series: extent, lag, number of candles and gaps."""

from __future__ import annotations

import json
import time
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from market.domain.store import SeriesStats
from market.management.arguments import require_database, shown
from market.runtime import candle_store

COLUMNS = ("series", "first", "head", "lag s", "candles", "gaps")


class Command(BaseCommand):
    """Prints one line per series."""

    help = (
        "List the stored series with first and newest open time (UTC), how many seconds the "
        "newest closed candle is missing, the number of candles and the number of gaps."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument("--json", action="store_true", help="print JSON, times in Unix seconds")

    def handle(self, *args: Any, **options: Any) -> None:
        """Print the list."""
        require_database()
        now = time.time()
        rows = [_row(stats, now) for stats in candle_store().series()]
        if options["json"]:
            self.stdout.write(json.dumps(rows, indent=2))
            return
        table = [COLUMNS, *(_line(row) for row in rows)]
        widths = [max(len(line[column]) for line in table) for column in range(len(COLUMNS))]
        for line in table:
            self.stdout.write(_padded(line, widths))
        if not rows:
            self.stdout.write("no candles are stored")


def _row(stats: SeriesStats, now: float) -> dict[str, Any]:
    expected = stats.series.timeframe.latest_closed(now)
    return {
        "series_id": str(stats.series),
        "first_time": stats.first,
        "head_time": stats.head,
        "lag_seconds": max(0, expected - stats.head),
        "candle_count": stats.count,
        "gap_count": len(candle_store().gaps(stats.series)),
    }


def _line(row: dict[str, Any]) -> tuple[str, ...]:
    return (
        row["series_id"],
        shown(row["first_time"]),
        shown(row["head_time"]),
        f"{row['lag_seconds']:,}",
        f"{row['candle_count']:,}",
        f"{row['gap_count']:,}",
    )


def _padded(line: tuple[str, ...], widths: list[int]) -> str:
    """Texts are aligned left, the last three columns, which are numbers, right."""
    cells = [
        cell.ljust(width) if column < 3 else cell.rjust(width)
        for column, (cell, width) in enumerate(zip(line, widths, strict=True))
    ]
    return "  ".join(cells).rstrip()
