"""Removes the rows of series that never had a candle."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from market.management.arguments import require_database
from market.stores.pruning import prune, without_candles


class Command(BaseCommand):
    """Lists what it removes."""

    help = (
        "Remove the series that never had a candle, as left behind by subscriptions to series "
        "that do not exist. Candles, the whitelist and series with candles are not touched."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument("--dry-run", action="store_true", help="only list what would go")

    def handle(self, *args: Any, **options: Any) -> None:
        """Print one line per series, then how many were removed."""
        require_database()
        names = list(without_candles().values_list("name", flat=True))
        for name in names:
            self.stdout.write(name)
        if options["dry_run"]:
            self.stdout.write(f"{len(names):,} series would be removed")
        else:
            self.stdout.write(f"{prune(names):,} series removed")
