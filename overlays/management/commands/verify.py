"""Verifies both ledgers of a series against its candles."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from tqdm import tqdm

from factors import runtime as factors
from market.management.arguments import require_database, series_argument, shown
from market.runtime import candle_store
from overlays import runtime
from overlays.verify import Comparison, Verdict, Verifier

NOT_CLEAN = 1
REVISED = 2


class Command(BaseCommand):
    """Recomputes a series in memory and compares."""

    help = (
        "Compute factors and drawings of a series anew from its candles, in memory, and compare "
        "with the ledgers row by row: counts, checksums, first difference. Exit status 0: the "
        "same; 1: different, or behind; 2: candles were revised meanwhile, run it again."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument("series", type=series_argument, help="exchange:market:symbol:timeframe")
        parser.add_argument("--no-progress", action="store_true", help="show no progress bar")

    def handle(self, *args: Any, **options: Any) -> None:
        """Verify, and report."""
        require_database()
        series = options["series"]
        # disable=None shows the bar on a terminal only.
        quiet = True if options["no_progress"] else None
        total = candle_store().count(series)
        with tqdm(total=total, unit=" candles", disable=quiet) as bar:
            verdict = verifier().run(series, bar.update)
        self._report(str(series), verdict)
        if verdict.was_revised:
            raise CommandError("candles were revised meanwhile: run it again", returncode=REVISED)
        if not verdict.is_clean:
            raise CommandError("the ledgers differ", returncode=NOT_CLEAN)

    def _report(self, series: str, verdict: Verdict) -> None:
        head = "nothing" if verdict.head_time is None else shown(verdict.head_time)
        self.stdout.write(f"{series}: {verdict.candles:,} candles up to {head}")
        for each in verdict.comparisons:
            self.stdout.write(_line(each))
            if each.first_difference is not None:
                expected, found = each.first_difference
                self.stdout.write(f"  expected {expected}\n  found    {found}")


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
