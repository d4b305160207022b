"""Begins a new generation of the store, after its past was changed by a restore."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from market.management.arguments import require_database
from market.runtime import candle_store
from market.stores.installation import renew_generation


class Command(BaseCommand):
    """Renews the part of the generation that is kept in the database."""

    help = (
        "Begin a new generation of the store. Run it after every restore, while web processes and "
        "workers run or before they start: they drop what they cached, watchers read everything "
        "again, and follow jobs fetch what is missing. Running it once too often only costs reads."
    )
    requires_system_checks: list[str] = []

    def handle(self, *args: Any, **options: Any) -> None:
        """Renew it, and print both."""
        require_database()
        before = candle_store().generation()
        renew_generation()
        self.stdout.write(f"generation {candle_store().generation()} (before: {before})")
