"""Packs the stored rows of the ledgers of factors and drawings, or unpacks them."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import connection
from tqdm import tqdm

from factors.stores.dense_rows import FACTOR_TABLES, count, move
from market.management.arguments import require_database
from overlays.stores.dense_rows import OVERLAY_TABLES


class Command(BaseCommand):
    """Moves row after row in short transactions; web processes and workers go on meanwhile."""

    help = (
        "Pack the rows of factors and drawings that were written without "
        "TRADE_CANVAS_ENABLE_DENSE_LEDGER: every answer stays the same, in fewer "
        "bytes. In short transactions beside readers and writers; run it again after an "
        "interruption. With --undo, unpack all dense rows."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument("--undo", action="store_true", help="unpack dense rows")
        parser.add_argument("--dry-run", action="store_true", help="only count the rows")
        parser.add_argument("--no-progress", action="store_true", help="show no progress bar")

    def handle(self, *args: Any, **options: Any) -> None:
        """Move every row, and report how many of each table."""
        require_database()
        dense = not options["undo"]
        if dense is not settings.SWITCHES.enable_dense_ledger:
            state = "1" if dense else "0"
            raise CommandError(
                f"set TRADE_CANVAS_ENABLE_DENSE_LEDGER={state} in every process first: rows that"
                " are written now would have the other form"
            )
        for table in (*FACTOR_TABLES, *OVERLAY_TABLES):
            total = moved = count(table, connection, dense=not dense)
            if not options["dry_run"]:
                shown_at = True if options["no_progress"] else None
                with tqdm(total=total, desc=table.name, unit=" rows", disable=shown_at) as bar:
                    moved = sum(_shown(bar, part) for part in move(table, connection, dense=dense))
            would = " would be" if options["dry_run"] else ""
            verb = "packed" if dense else "unpacked"
            self.stdout.write(f"{table.name}: {moved:,} rows{would} {verb}")
            left = 0 if options["dry_run"] else count(table, connection, dense=not dense)
            if left:
                raise CommandError(
                    f"{table.name}: {left:,} rows were locked; run the command again"
                )


def _shown(bar: Any, moved: int) -> int:
    bar.update(moved)
    return moved
