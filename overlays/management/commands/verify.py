"""Verifies both ledgers of a series against its candles, or the candles themselves."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from asgiref.sync import async_to_sync
from django.core.management.base import BaseCommand, CommandError
from django.db import connection
from tqdm import tqdm

from factors import runtime as factors
from market.bus.publish import publish_change
from market.domain.candle import Candle
from market.domain.series import SeriesId
from market.domain.timeframe import MAX_TIME
from market.management.arguments import (
    require_candles,
    require_database,
    series_argument,
    shown,
)
from market.models import Series
from market.pipeline import PipelineError
from market.runtime import candle_store
from market.stores.candle_checks import constraint_state, wrong_rows
from overlays import runtime
from overlays.quarantine import move_out, recompute
from overlays.reads import OutOfSync
from overlays.verify import PAGE, Comparison, Verdict, Verifier

NOT_CLEAN = 1
REVISED = USAGE = 2

WINDOW = 2000


class Command(BaseCommand):
    """Recomputes a series in memory and compares."""

    help = (
        "Recompute factors and drawings of a series from its candles, in memory, and compare "
        "with the ledgers row by row: counts, checksums, first difference. Exit status 0: the "
        "same; 1: different, or behind; 2: candles were revised meanwhile, run it again. With "
        "--candles, look for candles that are impossible (NaN, low above close, ...) or off "
        "the grid instead. Exit status 0: none; 1: some."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument(
            "series",
            type=series_argument,
            nargs="?",
            help="exchange:market:symbol:timeframe; not needed with --candles",
        )
        parser.add_argument(
            "--candles",
            action="store_true",
            help="check the candles of the series, or of every series, instead of its ledgers",
        )
        parser.add_argument(
            "--quarantine",
            type=Path,
            metavar="FILE",
            help="with --candles: append the wrong rows to this CSV file, delete them, and compute "
            "factors and drawings again from there",
        )
        parser.add_argument(
            "--integrity",
            type=int,
            nargs="?",
            const=1,
            metavar="N",
            help="also compare at every N-th candle (default: every one) what a window shows of "
            "factors and of drawings, as a read of a client that has nothing does",
        )
        parser.add_argument("--no-progress", action="store_true", help="show no progress bar")

    def handle(self, *args: Any, **options: Any) -> None:
        """Verify, and report."""
        series = options["series"]
        if options["candles"]:
            self._verify_candles(series, options["quarantine"])
            return
        if series is None or options["quarantine"]:
            raise CommandError("name a series, or give --candles", returncode=USAGE)
        require_candles(series)
        # disable=None shows the bar on a terminal only.
        quiet = True if options["no_progress"] else None
        total = candle_store().count(series)
        with tqdm(total=total, unit=" candles", disable=quiet) as bar:
            verdict = verifier().run(series, bar.update)
        self._report(str(series), verdict)
        if options["integrity"]:
            self._read(series, max(1, options["integrity"]), quiet=quiet)
        if verdict.was_revised:
            raise CommandError("candles were revised meanwhile, run it again", returncode=REVISED)
        if not verdict.is_clean:
            raise CommandError("the ledgers differ", returncode=NOT_CLEAN)

    def _verify_candles(self, only: SeriesId | None, quarantine: Path | None) -> None:
        require_database()
        if only is not None:
            require_candles(only)
        rows = Series.objects.filter(head_time__isnull=False).order_by("name")
        chosen = rows if only is None else rows.filter(name=str(only))
        wrong, posted, checked = 0, 0, 0
        for name, fence in chosen.values_list("name", "fence"):
            checked += 1
            series = SeriesId.parse(name)
            found = list(wrong_rows(connection, series))
            # An exchange's candles lie on the grid; posted ones need not, so that is no fault.
            faults = found if fence else [row for row in found if row.is_impossible]
            posted += len(found) - len(faults)
            wrong += len(faults)
            for row in faults:
                time = row.candle.candle_time
                self.stdout.write(
                    f"{name} at {_shown(time)} ({time}): {row.fault}: {row.candle[1:]}"
                )
            if faults and quarantine is not None:
                self._quarantine(series, [row.candle for row in faults], quarantine)
        self.stdout.write(f"{checked:,} series checked, {wrong:,} wrong rows")
        if posted:
            self.stdout.write(f"{posted:,} rows off the grid in series that were only posted")
        self.stdout.write(f"CHECK constraint of the table: {constraint_state(connection)}")
        if wrong and quarantine is None:
            raise CommandError(
                f"{wrong:,} stored candles are wrong; --quarantine FILE moves them out",
                returncode=NOT_CLEAN,
            )

    def _quarantine(self, series: SeriesId, candles: list[Candle], file: Path) -> None:
        try:
            move_out(series, candles, file)
            for part in recompute(series, max(0, candles[0].candle_time)):
                async_to_sync(publish_change)(part.change)
        except OSError as error:
            raise CommandError(str(error)) from error
        except PipelineError as error:
            raise CommandError(f"{error}; rows are moved, run manage.py rebuild") from error
        self.stdout.write(f"{series}: {len(candles):,} rows moved to {file}")

    def _read(self, series: SeriesId, step: int, *, quiet: bool | None) -> None:
        times = candle_times(series)[::step]
        for time in tqdm(times, unit=" windows", disable=quiet):
            try:
                runtime.reads().check(series, time, window=WINDOW)
            except OutOfSync as error:
                raise CommandError(
                    f"at {shown(time)} ({time}): ledger_out_of_sync:{error.ledger}",
                    returncode=NOT_CLEAN,
                ) from error
        self.stdout.write(f"integrity: {len(times):,} windows of {WINDOW:,} candles: the same")

    def _report(self, series: str, verdict: Verdict) -> None:
        head = "nothing" if verdict.head_time is None else shown(verdict.head_time)
        self.stdout.write(f"{series}: {verdict.candles:,} candles up to {head}")
        for each in verdict.comparisons:
            self.stdout.write(_line(each))
            if each.first_difference is not None:
                expected, found = each.first_difference
                self.stdout.write(f"  expected {expected}\n  found    {found}")


def _shown(time: int) -> str:
    """An open time as people read it, where it is one."""
    return shown(time) if 0 <= time <= MAX_TIME else "no time"


def candle_times(series: SeriesId) -> list[int]:
    """The open times of all candles, ascending."""
    times: list[int] = []
    while page := candle_store().read_after(series, times[-1] if times else -1, PAGE):
        times += [candle.candle_time for candle in page]
    return times


def verifier() -> Verifier:
    """A verifier over this process's stores."""
    return Verifier(
        candles=candle_store(),
        engines=factors.engines(),
        facts=factors.factor_ledger(),
        overlay_engine=runtime.engine(),
        drawings=runtime.overlay_ledger(),
        fingerprint_of=runtime.fingerprint_of,
    )


def _line(each: Comparison) -> str:
    expected, found = (checksum[:12] for checksum in each.checksums)
    verdict = "the same" if each.is_clean else "DIFFERENT"
    return (
        f"{each.name:>9}: {each.found:,} found, {each.expected:,} expected,"
        f" sha256 {found} and {expected}: {verdict}"
    )
