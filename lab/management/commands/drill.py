"""Hurts a scaled-out installation on purpose, and counts at its watchers what that costs."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from lab.drills import (
    alerts,
    charts,
    derived,
    habits,
    ledgers,
    pasts,
    processes,
    replay,
    rollback,
    servers,
    strangers,
    venue,
)
from lab.drills.ground import DRILLS, run_drills
from lab.drills.outcome import has_table, write_report
from lab.drills.soak import soak
from lab.drills.steps import table

# Imported for the drills that they register.
PARTS = (
    *(
        processes,
        servers,
        pasts,
        venue,
        habits,
        strangers,
        derived,
        replay,
        ledgers,
        charts,
        alerts,
    ),
    rollback,
)
SOAK = "soak"


class Command(BaseCommand):
    """Runs drills on an installation of its own; nothing else on the machine is touched."""

    help = "Kill, cut and confuse a scaled-out installation, and count at its watchers."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("names", nargs="*", help="drills to run, or soak (default: all drills)")
        parser.add_argument("--minutes", type=float, default=10.0, help="how long to soak")
        parser.add_argument("--graphs", type=Path, help="folder for the soak's pictures")
        parser.add_argument("--list", action="store_true", help="name the drills and end")
        parser.add_argument(
            "--steps", action="store_true", help="print the runbook's table and end"
        )
        parser.add_argument("--report", type=Path, help="page to put the figures into")
        parser.add_argument("--logs", type=Path, help="folder to keep the processes' logs in")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["steps"]:
            self.stdout.write(table())
        elif options["list"]:
            for each in DRILLS.values():
                self.stdout.write(f"{each.name:20} {each.title}")
        else:
            self._run(options["names"] or list(DRILLS), options)

    def _run(self, names: list[str], options: dict[str, Any]) -> None:
        if unknown := set(names) - DRILLS.keys() - {SOAK}:
            raise CommandError(f"no such drill: {', '.join(sorted(unknown))}")
        if options["report"] and not has_table(options["report"]):
            # Not after half an hour of drills.
            raise CommandError(f"{options['report']}: no page with the table of drills")
        drills = [DRILLS[name] for name in names if name != SOAK]
        outcomes = run_drills(drills, self._report, logs=options["logs"])
        if SOAK in names:
            folders = {name: options[name] for name in ("graphs", "logs")}
            outcomes.append(soak(options["minutes"], self._report, **folders))
        if options["report"]:
            write_report(options["report"], outcomes)
        if failed := [each.name for each in outcomes if not each.is_clean]:
            raise CommandError(f"failed: {'; '.join(failed)}")

    def _report(self, line: str) -> None:
        self.stdout.write(line)
        self.stdout.flush()
