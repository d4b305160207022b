"""Recomputes the factors and drawings of a series from its stored candles."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from asgiref.sync import async_to_sync
from django.core.management.base import BaseCommand, CommandError
from tqdm import tqdm

from factors.rebuild import Rebuilder, StageMissing
from factors.runtime import rebuilder
from market.bus.publish import publish_change
from market.domain.series import SeriesId
from market.management.arguments import require_database, series_argument, shown, time_argument
from market.pipeline import PipelineError


class Command(BaseCommand):
    """Rebuilds part by part; each part is committed by itself."""

    help = (
        "Recompute the factors and drawings of a series from its stored candles, from the first "
        "one or from a time on. No candle is changed. After an interruption, the command continues "
        "where it stopped when it is run again without --from; live candles are stored meanwhile."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument("series", type=series_argument, help="exchange:market:symbol:timeframe")
        parser.add_argument(
            "--from",
            dest="from_time",
            type=time_argument,
            help="first candle to compute (Unix seconds or ISO 8601, UTC)",
        )
        parser.add_argument("--no-progress", action="store_true", help="show no progress bar")

    def handle(self, *args: Any, **options: Any) -> None:
        """Rebuild, and report how many candles that took."""
        require_database()
        series, worker = options["series"], rebuilder()
        start = worker.start_of(series, options["from_time"])
        if start is None:
            raise CommandError(f"{series}: no candles are stored")
        try:
            count = _rebuild(worker, series, start, quiet=options["no_progress"])
        except PipelineError as error:
            raise CommandError(f"{error}\nrun the command again to continue") from error
        except StageMissing as error:
            raise CommandError("set TRADE_CANVAS_ENABLE_FACTOR_INGEST=1") from error
        self.stdout.write(f"{series}: {count:,} candles computed from {shown(start)} on")


def _rebuild(worker: Rebuilder, series: SeriesId, start: int, *, quiet: bool) -> int:
    # disable=None shows the bar on a terminal only.
    total, shown_at = worker.store.count(series, start), True if quiet else None
    with tqdm(total=total, desc=str(series), unit=" candles", disable=shown_at) as bar:
        count = 0
        for part in worker.run(series, start):
            bar.update(part.candles)
            count += part.candles
            async_to_sync(publish_change)(part.change)
    return count
