"""Imports candles from files through the pipeline."""

from __future__ import annotations

import time
from argparse import ArgumentParser, ArgumentTypeError
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, tzinfo
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from django.core.management.base import BaseCommand, CommandError

from market.candle_files.arrow import ArrowMissing
from market.candle_files.judge import Judges, Rules
from market.candle_files.reading import AUTO, FORMAT_NAMES, read
from market.candle_files.refusals import FileRefused, Refusals
from market.candle_files.series_by_name import FUTURES, SPOT, series_of_path
from market.candle_files.sources import Source, Sources
from market.candle_files.text_rows import Rows
from market.domain.series import SeriesId
from market.exchanges.ccxt_feed import known_exchanges
from market.ingest import file_import
from market.ingest.backfill import runtime_ports, settle_stored
from market.ingest.file_import import Importer, SeriesTally
from market.management.arguments import require_database, shown, written_series_argument
from market.management.progress import BytesProgress
from market.pipeline import PipelineError
from market.runtime import candle_store, derived_timeframes

MOST_SHOWN = 20
"""The refused files, and the reasons of refused rows, that a report lists."""


@dataclass(slots=True)
class Found:
    """What all files of an import had in common, and what was refused."""

    files: int = 0
    formats: Counter[str] = field(default_factory=Counter)
    forms: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    refused: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)


class Command(BaseCommand):
    """Streams files in chunks, each one transaction."""

    help = (
        "Import closed candles from a file, a folder or an archive (zip, tar). Formats and units of"
        " times are recognised: docs/candle-files.md lists them. Every row is checked, and the"
        " first wrong one ends the import of its file. Chunks of rows are stored whole or not at"
        " all, so a failed import can simply be repeated: what is stored already is not written"
        " again."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument("file", type=Path, help="a file, a folder or an archive")
        parser.add_argument(
            "series",
            nargs="?",
            type=written_series_argument,
            help="exchange:market:symbol:timeframe (default: by the file or its name)",
        )
        parser.add_argument("--format", choices=FORMAT_NAMES, default=AUTO, help="default: auto")
        parser.add_argument(
            "--dry-run", action="store_true", help="check every row, and store nothing"
        )
        parser.add_argument(
            "--skip-refused", action="store_true", help="leave wrong rows out, store all others"
        )
        parser.add_argument(
            "--exchange", default="", help="the exchange of files whose names have none"
        )
        parser.add_argument(
            "--market",
            choices=(SPOT, FUTURES),
            default="",
            help="the market of files whose names have none",
        )
        parser.add_argument(
            "--time-zone",
            type=_zone,
            default=UTC,
            metavar="NAME",
            help="of times that name none, for example Europe/Athens (default: UTC)",
        )
        parser.add_argument(
            "--off-grid",
            action="store_true",
            help="accept open times that do not lie on the timeframe's grid",
        )
        parser.add_argument(
            "--allow-coarser",
            action="store_true",
            help="accept a file whose candles are all as far apart as those of a longer timeframe",
        )
        parser.add_argument(
            "--allow-unterminated",
            action="store_true",
            help="accept a last line without a line end, which may have been cut",
        )
        parser.add_argument(
            "--chunk",
            type=int,
            choices=range(1, file_import.CHUNK + 1),
            metavar="CANDLES",
            default=file_import.CHUNK,
            help=f"how many rows are stored at once, 1 to {file_import.CHUNK:,}"
            " (default: %(default)s)",
        )
        parser.add_argument("--no-progress", action="store_true", help="show no progress")

    def handle(self, *args: Any, **options: Any) -> None:
        """Import, and report what changed."""
        require_database()
        if (series := options["series"]) is not None:
            _refuse_derived(series)
        importer = Importer(
            chunk=options["chunk"],
            is_dry=options["dry_run"],
            allow_coarser=options["allow_coarser"],
        )
        found = Found()
        path: Path = options["file"]
        # A database that is away or empty is an error of its own, not one of the file.
        candle_store().generation()
        try:
            self._import(path, importer, found, options)
        except KeyboardInterrupt:
            raise CommandError(_failure("interrupted", importer)) from None
        except PipelineError as error:
            raise CommandError(_failure(error.reason, importer)) from error
        except (OSError, FileRefused, ArrowMissing) as error:
            raise CommandError(_failure(str(error), importer)) from error
        if not options["dry_run"]:
            _settle_gaps(importer)
        self._report(path, importer, found, is_dry=options["dry_run"])

    def _import(
        self, path: Path, importer: Importer, found: Found, options: dict[str, Any]
    ) -> None:
        write = None if options["no_progress"] else self.stderr.write
        sources = Sources(path)
        progress = BytesProgress(sources.size(), path.name, write)
        sources.opened = progress.opened
        files = sources.files()
        try:
            for source in files:
                found.files += 1
                refusals = Refusals(continues=options["dry_run"] or options["skip_refused"])
                try:
                    for rows in importer.take(_rows(source, refusals, found, options)):
                        progress.stored(rows)
                    if refusals.first is not None and not options["skip_refused"]:
                        raise refusals.first
                except (FileRefused, ArrowMissing) as error:
                    if sources.is_single and refusals.first is None:
                        raise
                    name = source.path.relative_to(path.absolute().parent)
                    found.refused.append(f"{name}: {error}")
                finally:
                    found.reasons += refusals.reasons
        finally:
            files.close()
            progress.close()
            found.skipped = sources.skipped

    def _report(self, path: Path, importer: Importer, found: Found, *, is_dry: bool) -> None:
        for series, tally in sorted(importer.tallies.items()):
            self.stdout.write(f"{series}: {tally}")
            self.stdout.write(f"  {_rows_and_holes(series, tally)}")
        if not importer.tallies:
            self.stdout.write(f"{path.name}: no candles")
        formats = ", ".join(sorted(found.formats))
        times = ", ".join(f"{form} ({count:,})" for form, count in found.forms.most_common())
        files = "1 file" if found.files == 1 else f"{found.files:,} files"
        self.stdout.write(f"{files}, format: {formats or '-'}, times: {times or '-'}")
        self.stdout.write(f"refused rows: {found.reasons.total():,}")
        for reason, count in found.reasons.most_common(MOST_SHOWN):
            self.stdout.write(f"  {count:,} × {reason}")
        if found.skipped:
            self.stdout.write(f"files that hold no candles: {_listed(found.skipped, ', ')}")
        if is_dry:
            self.stdout.write("dry run: nothing was stored")
        if found.refused and found.files == 1:
            raise CommandError(found.refused[0])
        if found.refused:
            refused = _listed(found.refused, "\n")
            raise CommandError(
                f"{len(found.refused):,} of {found.files:,} files refused:\n{refused}"
            )


def _rows(
    source: Source, refusals: Refusals, found: Found, options: dict[str, Any]
) -> Iterator[Rows]:
    """The candles of one file; raises FileRefused and ArrowMissing."""
    series = options["series"] or series_of_path(
        source.path,
        exchanges=known_exchanges(),
        exchange=options["exchange"],
        market=options["market"],
    )
    rules = Rules(now=time.time(), off_grid=options["off_grid"], zone=options["time_zone"])
    judges = Judges(series, rules, refusals=refusals, admit=_refuse_derived)
    reading = read(
        source.stream,
        judges,
        wanted=options["format"],
        allow_unterminated=options["allow_unterminated"],
    )
    found.formats[reading.format] += 1
    try:
        yield from reading.rows
    finally:
        found.forms += judges.forms


def _settle_gaps(importer: Importer) -> None:
    """Mark recorded gaps that were imported as repaired."""
    ports = runtime_ports()
    for series, tally in importer.tallies.items():
        if tally.runs.span is not None:
            settle_stored(ports, series, tally.runs.span)


def _refuse_derived(series: SeriesId) -> None:
    if (base := derived_timeframes().base_of(series)) is not None:
        raise FileRefused("derived_series", f"{series} is derived: import {base}")
    if series.timeframe.calendar is not None:
        raise FileRefused("derived_series", f"{series} can only be derived: import shorter candles")


def _rows_and_holes(series: SeriesId, tally: SeriesTally) -> str:
    first, last = tally.runs.span or (0, 0)
    holes, missing = tally.runs.holes(series.timeframe)
    again = f", {tally.duplicates:,} of them for the same time as another" * bool(tally.duplicates)
    return (
        f"{tally.rows:,} rows{again}, from {shown(first)} to {shown(last)} UTC,"
        f" {holes:,} holes ({missing:,} candles missing)"
    )


def _failure(reason: str, importer: Importer) -> str:
    total = SeriesTally()
    for tally in importer.tallies.values():
        total.inserted += tally.inserted
        total.revised += tally.revised
        total.repeated += tally.repeated
    return f"{reason}\nstored before that: {total}"


def _listed(texts: Sequence[str], separator: str) -> str:
    rest = len(texts) - MOST_SHOWN
    return separator.join([*texts[:MOST_SHOWN], *([f"and {rest:,} more"] if rest > 0 else [])])


def _zone(name: str) -> tzinfo:
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise ArgumentTypeError(f"unknown time zone: {name}") from error
