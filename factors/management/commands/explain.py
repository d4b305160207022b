"""Shows the facts of each factor at a candle, and the candles they come from."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from factors import runtime
from factors.explanation import Explanation, NotThere, brief, explain
from market.management.arguments import require_database, series_argument, shown, time_argument
from market.runtime import candle_store


class Command(BaseCommand):
    """One paragraph a factor."""

    help = (
        "Show the facts of each factor at a time: its newest events of each kind, its head, and "
        "the candles that these name, newest first. Reads the ledger, computes nothing."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument("series", type=series_argument, help="exchange:market:symbol:timeframe")
        parser.add_argument(
            "--at",
            required=True,
            type=time_argument,
            help="Unix seconds or ISO 8601, UTC: the newest candle at or before it",
        )
        parser.add_argument(
            "--window", type=int, default=2000, help="candles before it to look for events in"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Print the explanations."""
        require_database()
        try:
            time, found = explain(
                options["series"],
                options["at"],
                factors=runtime.engine().factors,
                ledger=runtime.factor_ledger(),
                store=candle_store(),
                window_candles=options["window"],
            )
        except NotThere as error:
            raise CommandError(f"{options['series']}: {error}") from error
        self.stdout.write(f"{options['series']} at {shown(time)} ({time})")
        for each in found:
            self._print(each)

    def _print(self, found: Explanation) -> None:
        needs = f" (from {', '.join(found.depends_on)})" if found.depends_on else ""
        self.stdout.write(f"\n{found.factor}{needs}")
        if not found.latest and found.head is None:
            self.stdout.write("  no facts yet")
        for event in found.latest:
            line = f"  {event.kind} with {shown(event.candle_time)}: {brief(event.payload)}"
            self.stdout.write(line)
        if found.head is not None:
            self.stdout.write(f"  head: {brief(found.head)}")
        for candle, roles in found.causes:
            _, first, high, low, close, volume = candle
            self.stdout.write(
                f"    {shown(candle.candle_time)}  o {first:g} h {high:g} l {low:g} c {close:g}"
                f" v {volume:g}  {', '.join(roles)}"
            )
