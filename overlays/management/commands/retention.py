"""Reports what retention would remove, or removes it."""

from __future__ import annotations

from argparse import ArgumentParser
from collections import Counter
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError

from market.domain.series import SeriesId
from market.domain.store import StoreUnavailable
from market.management.arguments import require_database, series_argument, shown
from overlays import runtime
from overlays.retention import NotNow, Report, Retention
from overlays.stores.removal import TABLES


class Command(BaseCommand):
    """Safe to interrupt and to repeat: a removal goes on where it stopped."""

    help = (
        "Report, for every series whose timeframe TRADE_CANVAS_RETENTION names, how many candles, "
        "rows of factors and of drawings are older than it keeps, and about how many bytes they "
        "take without indexes. With --apply, remove them, in short transactions beside readers "
        "and writers. Reads at candles that stay answer the same bytes as before."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument(
            "series", type=series_argument, nargs="*", help="only these series (default: all)"
        )
        parser.add_argument("--apply", action="store_true", help="remove them")

    def handle(self, *args: Any, **options: Any) -> None:
        """Report or remove, series by series, then by timeframe."""
        require_database()
        work = runtime.retention()
        stored = work.series()
        if not settings.SWITCHES.retention:
            raise CommandError("nothing is removed: set TRADE_CANVAS_RETENTION, as 1s=7d,1m=2y")
        for each in options["series"]:
            if each not in stored:
                raise CommandError(f"{each}: no candles are stored, or its timeframe has no bound")
        chosen = options["series"] or stored
        if options["apply"]:
            self._apply(work, chosen)
        else:
            self._report(work, chosen)

    def _report(self, work: Retention, chosen: list[SeriesId]) -> None:
        totals: dict[str, Counter[str]] = {}
        for series in chosen:
            report = work.report(series)
            self.stdout.write(_line(report))
            of_timeframe = totals.setdefault(series.timeframe.text, Counter())
            for name, (rows, size) in report.parts.items():
                of_timeframe[name] += rows
                of_timeframe["bytes"] += size
        for timeframe, counts in totals.items():
            self.stdout.write(f"{timeframe}: {_counts(counts)}, about {counts['bytes']:,} bytes")
        self.stdout.write("nothing was removed: --apply does")

    def _apply(self, work: Retention, chosen: list[SeriesId]) -> None:
        failed = 0
        for series in chosen:
            counts: Counter[str] = Counter()
            try:
                for done in work.remove(series):
                    counts.update(done)
            except NotNow as reason:
                self.stdout.write(f"{series}: nothing is removed: {reason}")
                continue
            except (StoreUnavailable, DatabaseError) as error:
                failed += 1
                self.stderr.write(f"{series}: {error}")
            self.stdout.write(f"{series}: removed {_counts(counts)}")
        if failed:
            raise CommandError(f"{failed:,} series failed; run it again to go on")


def _line(report: Report) -> str:
    if report.reason:
        return f"{report.series}: nothing can be removed: {report.reason}"
    if not report.parts:
        return f"{report.series}: nothing to remove"
    counts = Counter({name: part.rows for name, part in report.parts.items()})
    size = sum(part.size for part in report.parts.values())
    return (
        f"{report.series}: before {shown(report.before)}: {_counts(counts)}, about {size:,} bytes"
    )


def _counts(counts: Counter[str]) -> str:
    return ", ".join(f"{counts[name]:,} {name}" for name in TABLES)
