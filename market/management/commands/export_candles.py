"""Exports the candles of series: as CSV, Parquet, Arrow or Feather."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import IO, Any

from django.core.management.base import BaseCommand, CommandError
from tqdm import tqdm

from market.candle_files.arrow import ArrowMissing
from market.candle_files.exported import ExportRefused, bring_up, pages
from market.candle_files.names import stem_of
from market.candle_files.writers import Kind, writing
from market.domain.series import SeriesId
from market.domain.store import SeriesDamaged
from market.domain.timeframe import MAX_TIME
from market.management.arguments import require_candles, require_database, shown
from market.management.exports import (
    add_export_arguments,
    locked,
    one_file,
    require_named,
    selected,
    target,
)
from market.runtime import candle_store


class Command(BaseCommand):
    """Pages through the store, so that a long series needs little memory."""

    help = (
        "Write the candles of a series as CSV, in the format that import_candles reads, or of "
        "many series into a folder. Floats are written exactly: reading them gives the same "
        "numbers. Parquet, Arrow and Feather need the extra of requirements-arrow.lock."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        add_export_arguments(parser)
        parser.add_argument(
            "--since-last",
            action="store_true",
            help="bring files of an earlier export up: read new and revised candles only",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Export, and report how many candles on standard error."""
        require_named(options)
        if options["since_last"] and options["end"] != MAX_TIME:
            raise CommandError("--since-last always exports up to the newest candle: no --to")
        try:
            if options["folder"] is None:
                self._export_one(options)
            else:
                self._export_many(options)
        except ArrowMissing as error:
            raise CommandError(str(error)) from error

    def _export_one(self, options: dict[str, Any]) -> None:
        """Write one series into a file, or to standard output."""
        series, path, kind = one_file(options)
        if path is None and options["since_last"]:
            raise CommandError("--since-last needs --output")
        require_candles(series)
        if options["since_last"]:
            assert path is not None
            with locked(path.parent):
                self._bring_up(path, kind, series, options["start"])
            return
        start, end = options["start"], options["end"]
        total = candle_store().count(series, start, end)
        if not total:
            raise CommandError(f"no candles of {series} are stored in this range")
        # disable=None shows the bar on a terminal only.
        bar = tqdm(total=total, unit=" candles", file=sys.stderr, disable=None)
        with target(path, self.stdout) as sink, bar:
            _write(sink, kind, series, start, end, bar)
        self.stderr.write(f"{series}: {total:,} candles")

    def _export_many(self, options: dict[str, Any]) -> None:
        """Write one file a series; a series that fails does not keep the others from theirs."""
        require_database()
        found = selected(options["series"], options["exchange"])
        kind, folder = Kind(options["format"] or Kind.CSV), options["folder"]
        failed, candles = 0, 0
        with locked(folder, make=True), tqdm(found, unit=" series", disable=None) as bar:
            for series in bar:
                path = folder / f"{stem_of(series)}.{kind}"
                try:
                    candles += self._export_into(path, kind, series, options)
                except (SeriesDamaged, ExportRefused, CommandError) as error:
                    failed += 1
                    self.stderr.write(f"{series}: {error}")
        self.stderr.write(f"{len(found) - failed:,} series, {candles:,} candles")
        if failed:
            raise CommandError(f"{failed} of {len(found)} series were not exported")

    def _export_into(
        self, path: Path, kind: Kind, series: SeriesId, options: dict[str, Any]
    ) -> int:
        """Write the file of one series of many; return its number of candles."""
        if options["since_last"]:
            return self._bring_up(path, kind, series, options["start"])
        with target(path, self.stdout) as sink:
            count = _write(sink, kind, series, options["start"], options["end"])
        self.stderr.write(f"{series}: {count:,} candles")
        return count

    def _bring_up(self, path: Path, kind: Kind, series: SeriesId, start: int) -> int:
        """Bring one file up to the store; return how many candles were read."""
        try:
            with tqdm(unit=" candles", file=sys.stderr, disable=None) as bar:
                done = bring_up(path, kind, series, candle_store(), start=start, written=bar.update)
        except (ExportRefused, OSError) as error:
            raise CommandError(str(error)) from error
        since = "" if done.first is None else f" since {shown(done.first)}"
        report = f"{done.candles:,} candles{since}" if done.is_changed else "nothing has changed"
        self.stderr.write(f"{series}: {report}")
        return done.candles


def _write(
    sink: IO[bytes], kind: Kind, series: SeriesId, start: int, end: int, bar: Any = None
) -> int:
    count = 0
    with writing(kind, sink, [series]) as writer:
        for page in pages(candle_store(), series, start, end):
            writer.write(series, page)
            count += len(page)
            if bar is not None:
                bar.update(len(page))
    return count
