"""Imports candles from a CSV file through the pipeline."""

from __future__ import annotations

import gzip
import io
import time
import zlib
from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import IO, Any, TextIO, cast

from asgiref.sync import async_to_sync
from django.core.management.base import BaseCommand, CommandError
from tqdm import tqdm

from market.bus.publish import publish_change
from market.csv_candles import HEADER, CsvError, read_candles
from market.domain.candle import Candle, is_closed
from market.domain.series import SeriesId
from market.ingest.derive import brought_up, derivation
from market.management.arguments import require_database, written_series_argument
from market.pipeline import PipelineError
from market.runtime import candle_store, derived_timeframes, pipeline

CHUNK = 50_000
GZIP_MAGIC = b"\x1f\x8b"


@dataclass(slots=True)
class Tally:
    """Numbers of candles imported so far."""

    inserted: int = 0
    revised: int = 0
    unchanged: int = 0

    def __str__(self) -> str:
        return f"{self.inserted:,} inserted, {self.revised:,} revised, {self.unchanged:,} unchanged"


class Command(BaseCommand):
    """Streams a file in chunks, each one transaction."""

    help = (
        f"Import closed candles from a CSV file (plain or gzip) with the header {HEADER}; "
        "candle_time is the open time in Unix seconds (UTC), ascending. Every line is checked. "
        "Chunks of lines are stored whole or not at all, so a failed import can simply be "
        "repeated: what is stored already remains unchanged."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument("file", type=Path, help="the file, for example candles.csv.gz")
        parser.add_argument(
            "series", type=written_series_argument, help="exchange:market:symbol:timeframe"
        )
        parser.add_argument(
            "--off-grid",
            action="store_true",
            help="accept open times that do not lie on the timeframe's grid",
        )
        parser.add_argument(
            "--chunk",
            type=int,
            choices=range(1, CHUNK + 1),
            metavar="CANDLES",
            default=CHUNK,
            help=f"how many lines are stored at once, 1 to {CHUNK:,} (default: %(default)s)",
        )
        parser.add_argument("--no-progress", action="store_true", help="show no progress bar")

    def handle(self, *args: Any, **options: Any) -> None:
        """Import, and report what changed."""
        require_database()
        tally = Tally()
        series = options["series"]
        if (base := derived_timeframes().base_of(series)) is not None:
            raise CommandError(f"derived_series: {series} is derived: import {base}")
        try:
            with _opened(options["file"], quiet=options["no_progress"]) as lines:
                timeframe = None if options["off_grid"] else series.timeframe
                candles = read_candles(lines, timeframe)
                for chunk in _chunks(candles, series, size=options["chunk"]):
                    _store(series, chunk, tally)
        except (OSError, EOFError, zlib.error, CsvError, PipelineError) as error:
            raise CommandError(f"{error}\nstored before that: {tally}") from error
        self.stdout.write(f"{series}: {tally}")


@contextmanager
def _opened(path: Path, *, quiet: bool) -> Iterator[TextIO]:
    """The file's text; the progress bar counts the bytes read from disk."""
    with path.open("rb") as file, _progress(path, file, quiet=quiet) as counted:
        packed = file.read(len(GZIP_MAGIC)) == GZIP_MAGIC
        file.seek(0)
        content = gzip.GzipFile(fileobj=counted) if packed else counted
        yield io.TextIOWrapper(cast(IO[bytes], content), encoding="utf-8", newline="")


def _progress(path: Path, file: IO[bytes], *, quiet: bool) -> Any:
    size = path.stat().st_size
    # disable=None shows the bar on a terminal only.
    shown = True if quiet else None
    return tqdm.wrapattr(file, "read", total=size, desc=path.name, disable=shown)


def _chunks(
    candles: Iterator[tuple[int, Candle]], series: SeriesId, *, size: int
) -> Iterator[list[Candle]]:
    now = time.time()
    while numbered := list(islice(candles, size)):
        line, newest = numbered[-1]
        if not is_closed(newest.candle_time, series.timeframe, now):
            raise CsvError(line, "the candle is still open")
        yield [candle for _, candle in numbered]


def _store(series: SeriesId, candles: list[Candle], tally: Tally) -> None:
    store = candle_store()
    span = candles[0].candle_time, candles[-1].candle_time
    before = store.count(series, *span)
    change = pipeline().ingest(series, candles)
    inserted = store.count(series, *span) - before
    changed = len(change.fresh) + len(change.past)
    tally.inserted += inserted
    tally.revised += changed - inserted
    tally.unchanged += len(candles) - changed
    # Bulk history is not published as live candles; hubs find the new head in the store.
    for each in (change, *brought_up(derivation().due(change), change)):
        async_to_sync(publish_change)(replace(each, fresh=()))
