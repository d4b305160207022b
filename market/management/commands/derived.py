"""Lists the series that the store holds as derived, and releases those that are not any more."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from market.management.arguments import require_database, series_argument
from market.runtime import candle_store, derived_book, derived_timeframes


class Command(BaseCommand):
    """Prints one line for each series."""

    help = (
        "List the series of which the store takes only candles that are made of their base, "
        "whatever the settings of a process. With --release those that the settings of this "
        "command do not derive are followed, posted and imported again: run it after the switch "
        "was turned off, or timeframes were removed, and every process was restarted."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument("series", nargs="*", type=series_argument, help="these series only")
        parser.add_argument(
            "--release", action="store_true", help="release those that are not derived any more"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """List, or release and list what was released."""
        require_database()
        held = derived_book().held()
        if options["series"]:
            unknown = set(options["series"]).difference(held)
            if unknown:
                raise CommandError(f"not_derived: {', '.join(sorted(map(str, unknown)))}")
            held = options["series"]
        released = 0
        for series in held:
            base = derived_timeframes().base_of(series)
            if base is not None:
                self.stdout.write(f"{series}: made of {base}")
            elif options["release"]:
                candle_store().release_derived(series)
                released += 1
                self.stdout.write(f"{series}: released")
            else:
                self.stdout.write(f"{series}: not derived by these settings: --release")
        self.stdout.write(f"{released:,} of {len(held):,} derived series released")
