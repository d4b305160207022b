"""Verifies both ledgers of a series against its candles."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from tqdm import tqdm

from factors import runtime as factors
from market.domain.series import SeriesId
from market.management.arguments import require_candles, series_argument, shown
from market.runtime import candle_store
from overlays import runtime
from overlays.reads import OutOfSync
from overlays.verify import PAGE, Comparison, Verdict, Verifier

NOT_CLEAN = 1
REVISED = 2

WINDOW = 2000


class Command(BaseCommand):
    """Recomputes a series in memory and compares."""

    help = (
        "Recompute factors and drawings of a series from its candles, in memory, and compare "
        "with the ledgers row by row: counts, checksums, first difference. Exit status 0: the "
        "same; 1: different, or behind; 2: candles were revised meanwhile, run it again."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument("series", type=series_argument, help="exchange:market:symbol:timeframe")
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
        factor_engine=factors.engine(),
        facts=factors.factor_ledger(),
        overlay_engine=runtime.engine(),
        drawings=runtime.overlay_ledger(),
        overlay_fingerprint=runtime.fingerprint(),
    )


def _line(each: Comparison) -> str:
    expected, found = (checksum[:12] for checksum in each.checksums)
    verdict = "the same" if each.is_clean else "DIFFERENT"
    return (
        f"{each.name:>9}: {each.found:,} found, {each.expected:,} expected,"
        f" sha256 {found} and {expected}: {verdict}"
    )
