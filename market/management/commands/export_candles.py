"""Exports the candles of series: as CSV, Parquet, Arrow or Feather."""

from __future__ import annotations

import os
import sys
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Iterator
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import Path
from typing import IO, Any, cast

from django.core.management.base import BaseCommand, CommandError
from tqdm import tqdm

from market.candle_files.arrow import ArrowMissing
from market.candle_files.exported import ExportRefused, bring_up, pages
from market.candle_files.names import stem_of
from market.candle_files.writers import Kind, writing
from market.domain.series import SeriesId
from market.domain.store import SeriesDamaged
from market.domain.timeframe import MAX_TIME
from market.files import try_lock, whole_file
from market.management.arguments import (
    require_candles,
    require_database,
    series_argument,
    shown,
    time_argument,
)
from market.runtime import candle_store
from market.stores.postgres import stored_series

WILDCARDS = frozenset("*?[")


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
        parser.add_argument(
            "series",
            type=_series_or_pattern,
            nargs="*",
            help="exchange:market:symbol:timeframe, or a pattern such as 'binance:futures:*:1m'",
        )
        parser.add_argument(
            "--exchange", action="append", default=[], help="every stored series of an exchange"
        )
        target = parser.add_mutually_exclusive_group()
        target.add_argument(
            "--output",
            type=Path,
            help="the file to write, compressed if its name ends in .gz (default: standard output)",
        )
        target.add_argument(
            "--folder", type=Path, help="write one file a series into this folder, named after it"
        )
        parser.add_argument(
            "--format",
            choices=[kind.value for kind in Kind],
            help="default: by the name of --output, or csv",
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
        parser.add_argument(
            "--since-last",
            action="store_true",
            help="bring files of an earlier export up: read new and revised candles only",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Export, and report how many candles on standard error."""
        names: list[SeriesId | str] = options["series"]
        if not names and not options["exchange"]:
            raise CommandError("name a series, a pattern, or an --exchange")
        if options["since_last"] and options["end"] != MAX_TIME:
            raise CommandError("--since-last always exports up to the newest candle: no --to")
        try:
            if options["folder"] is None:
                self._export_one(names, options)
            else:
                self._export_many(names, options)
        except ArrowMissing as error:
            raise CommandError(str(error)) from error

    def _export_one(self, names: list[SeriesId | str], options: dict[str, Any]) -> None:
        """Write one series into a file, or to standard output."""
        if len(names) != 1 or options["exchange"] or not isinstance(names[0], SeriesId):
            raise CommandError("several series need a --folder, for one file each")
        series, path = names[0], options["output"]
        kind = Kind(options["format"] or _kind_of(path))
        if path is None and (kind is not Kind.CSV or options["since_last"]):
            raise CommandError(
                f"{'--since-last' if options['since_last'] else kind} needs --output"
            )
        require_candles(series)
        if options["since_last"]:
            with _locked(path.parent):
                self._bring_up(path, kind, series, options["start"])
            return
        start, end = options["start"], options["end"]
        total = candle_store().count(series, start, end)
        if not total:
            raise CommandError(f"no candles of {series} are stored in this range")
        # disable=None shows the bar on a terminal only.
        bar = tqdm(total=total, unit=" candles", file=sys.stderr, disable=None)
        with _target(path, self.stdout) as sink, bar:
            _write(sink, kind, series, start, end, bar)
        self.stderr.write(f"{series}: {total:,} candles")

    def _export_many(self, names: list[SeriesId | str], options: dict[str, Any]) -> None:
        """Write one file a series; a series that fails does not keep the others from theirs."""
        require_database()
        found = _selected(names, options["exchange"])
        kind, folder = Kind(options["format"] or Kind.CSV), options["folder"]
        failed, candles = 0, 0
        with _locked(folder, make=True), tqdm(found, unit=" series", disable=None) as bar:
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
        with _target(path, self.stdout) as sink:
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


def _series_or_pattern(text: str) -> SeriesId | str:
    """A series, or the text of a pattern, for argparse."""
    if not WILDCARDS.intersection(text):
        return series_argument(text)
    if text.count(":") < 3:
        raise ArgumentTypeError(f"a pattern is exchange:market:symbol:timeframe: {text}")
    return text


def _selected(names: list[SeriesId | str], exchanges: list[str]) -> list[SeriesId]:
    """The stored series that are named; raises CommandError for a name that none has."""
    stored = stored_series()
    found: dict[SeriesId, None] = {}
    for name in names:
        if isinstance(name, SeriesId):
            require_candles(name)
            found[name] = None
            continue
        matching = [each for each in stored if fnmatchcase(str(each), name)]
        if not matching:
            raise CommandError(f"no stored series matches {name}")
        found |= dict.fromkeys(matching)
    for exchange in exchanges:
        of_exchange = [each for each in stored if each.exchange == exchange]
        if not of_exchange:
            raise CommandError(f"no series of {exchange} is stored")
        found |= dict.fromkeys(of_exchange)
    return list(found)


def _kind_of(path: Path | None) -> Kind:
    """The format that a file's name asks for."""
    name = "" if path is None else path.name
    if name.endswith(".gz"):
        return Kind.CSV_GZ
    return next((kind for kind in Kind if name.endswith(f".{kind}")), Kind.CSV)


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


@contextmanager
def _target(path: Path | None, stdout: Any) -> Iterator[IO[bytes]]:
    """Where to write. A file appears under its name only when it is complete."""
    if path is None:
        yield cast("IO[bytes]", _Text(stdout))
        return
    try:
        with whole_file(path) as draft, draft.open("wb") as sink:
            yield sink
    except OSError as error:
        raise CommandError(str(error)) from error


class _Text:
    """Standard output, which takes text."""

    def __init__(self, stdout: Any) -> None:
        self._stdout = stdout

    def write(self, content: bytes) -> None:
        if content:
            self._stdout.write(content.decode(), ending="")


@contextmanager
def _locked(folder: Path, *, make: bool = False) -> Iterator[None]:
    """Keep other exports out of a folder: two of them would replace each other's drafts."""
    try:
        if make:
            folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise CommandError(str(error)) from error
    try:
        if not try_lock(descriptor):
            raise CommandError(f"another export is writing into {folder}")
        yield
    finally:
        os.close(descriptor)
