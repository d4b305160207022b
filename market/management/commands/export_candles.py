"""Exports the candles of a series as CSV."""

from __future__ import annotations

import gzip
import sys
from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from django.core.management.base import BaseCommand, CommandError
from tqdm import tqdm

from market.csv_candles import HEADER, write_candles
from market.domain.candle import Candle
from market.domain.series import SeriesId
from market.domain.timeframe import MAX_TIME
from market.files import whole_file
from market.management.arguments import require_candles, series_argument, time_argument
from market.runtime import candle_store

PAGE = 10_000


class Command(BaseCommand):
    """Pages through the store, so that a long series needs little memory."""

    help = (
        "Write the candles of a series as CSV, in the format that import_candles reads. Floats "
        "are written exactly: reading them gives the same numbers."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument("series", type=series_argument, help="exchange:market:symbol:timeframe")
        parser.add_argument(
            "--output",
            type=Path,
            help="the file to write, compressed if its name ends in .gz (default: standard output)",
        )
        parser.add_argument(
            "--from",
            dest="start",
            type=time_argument,
            default=0,
            help="first open time, Unix seconds or ISO 8601 in UTC",
        )
        parser.add_argument(
            "--to", dest="end", type=time_argument, default=MAX_TIME, help="last open time"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Export, and report how many candles on standard error."""
        require_candles(options["series"])
        series, start, end = options["series"], options["start"], options["end"]
        total = candle_store().count(series, start, end)
        if not total:
            raise CommandError(f"no candles of {series} are stored in this range")
        with _target(options["output"], self.stdout) as out:
            out.write(f"{HEADER}\n")
            # disable=None shows the bar on a terminal only.
            with tqdm(total=total, unit=" candles", file=sys.stderr, disable=None) as progress:
                for page in _pages(series, start, end):
                    progress.update(write_candles(out, page))
        self.stderr.write(f"{series}: {total:,} candles")


def _pages(series: SeriesId, start: int, end: int) -> Iterator[list[Candle]]:
    while page := candle_store().read_range(series, start, end, limit=PAGE):
        yield page
        start = page[-1].candle_time + 1


@contextmanager
def _target(path: Path | None, stdout: Any) -> Iterator[TextIO]:
    """Where to write. A file appears under its name only when it is complete."""
    if path is None:
        yield stdout
        return
    try:
        with whole_file(path) as draft, _text(draft, packed=path.suffix == ".gz") as out:
            yield out
    except OSError as error:
        raise CommandError(str(error)) from error


def _text(path: Path, *, packed: bool) -> Any:
    if packed:
        return gzip.open(path, "wt", encoding="utf-8", newline="")
    return path.open("w", encoding="utf-8", newline="")
