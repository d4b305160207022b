"""Proves on this machine how many watchers the real topology serves, or finds where it breaks."""

from __future__ import annotations

import resource
import shlex
import sys
import time
from argparse import ArgumentParser
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from lab.capacity.facts import machine_facts, software_facts
from lab.capacity.gate import Thresholds, times_sockets
from lab.capacity.limit import Limit, limit_rows, limit_verdict
from lab.capacity.measure import Run
from lab.capacity.report import (
    RecordError,
    check_record,
    markdown_table,
    record,
    recorded,
)
from lab.capacity.session import open_installation, run_gate, run_steps
from lab.exchange import local_series
from lab.installation import Installation
from lab.program import LabFailed
from lab.waiting import WaitTimeout
from trade_canvas.embedded import ServerFailed
from trade_canvas.environment import BASE_DIR

THRESHOLDS = Thresholds()


class Command(BaseCommand):
    """Starts servers, web processes, worker, beat and local exchange in a folder of their own."""

    help = (
        "Start the real topology apart from any installation, attach watchers from processes of "
        "their own, and write output/capacity/<UTC time>/. Ends with status 1 past a threshold "
        "of docs/capacity.md."
    )
    requires_system_checks: list[str] = []
    requires_migrations_checks = False

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--watchers", type=int, default=1000)
        parser.add_argument(
            "--pages",
            type=int,
            default=0,
            metavar="N",
            help="measure N whole pages beside as many watchers of the socket alone",
        )
        parser.add_argument("--instances", type=int, default=2, help="web processes")
        parser.add_argument("--series", type=int, default=20, help="series that are followed")
        parser.add_argument(
            "--timeframe", default="1s", help="of the first 20 series; further ones are longer"
        )
        parser.add_argument("--series-each", type=int, default=1, help="series of each watcher")
        parser.add_argument("--minutes", type=float, default=3.0, help="the steady part")
        parser.add_argument("--watcher-processes", type=int, default=2)
        parser.add_argument(
            "--find-limit", action="store_true", help="raise the watchers until a threshold breaks"
        )
        parser.add_argument(
            "--most", type=int, default=16_000, help="watchers beyond which --find-limit stops"
        )
        parser.add_argument(
            "--profile", action="store_true", help="flame graphs of web-1 and worker (py-spy)"
        )
        parser.add_argument("--no-bare", action="store_true", help="without the bare loop beside")
        parser.add_argument(
            "--output", type=Path, default=BASE_DIR / "output" / "capacity", metavar="DIR"
        )
        parser.add_argument(
            "--record", type=Path, metavar="FILE", help="put the figures into this page's tables"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        folder = options["output"] / time.strftime("%Y-%m-%dT%H-%M-%SZ", time.gmtime())
        (folder / "logs").mkdir(parents=True)
        _allow_many_files()
        try:
            passed = self._run(folder, options)
        except (LabFailed, WaitTimeout, ServerFailed, RecordError, ValueError) as error:
            raise CommandError(str(error)) from error
        except KeyboardInterrupt:
            raise CommandError("stopped", returncode=130) from None
        self._report(f"see {folder}")
        if not passed:
            sys.exit(1)

    def _run(self, folder: Path, options: Mapping[str, Any]) -> bool:
        facts = machine_facts()
        series = local_series(options["series"], options["timeframe"])
        if options["pages"] and options["series_each"] > 1:
            raise ValueError("a page shows one series: --pages is without --series-each")
        if options["record"]:
            # Not after minutes of measuring.
            check_record(options["record"], _recorded_kind(options))
        with open_installation(
            series, webs=options["instances"], logs=folder / "logs"
        ) as installation:
            facts |= software_facts(installation)
            self._report(f"every series flows; {', '.join(web.url for web in installation.webs)}")
            work = self._find_limit if options["find_limit"] else self._gate
            return work(installation, folder, options, facts=facts)

    def _gate(
        self,
        installation: Installation,
        folder: Path,
        options: Mapping[str, Any],
        *,
        facts: Mapping[str, str],
    ) -> bool:
        report = run_gate(
            installation,
            _run_of(options),
            folder,
            command=_command(),
            facts=facts,
            thresholds=THRESHOLDS,
            progress=self._report,
            with_bare=not options["no_bare"],
            with_profile=options["profile"],
        )
        self._report(f"{report.verdict}\ncommit to watcher: {report.measured.from_commit}")
        if report.pages is not None and report.pages.drawings is not None:
            times = times_sockets(report.pages, report.measured)
            self._report(f"commit to page: {report.pages.from_commit}")
            self._report(f"commit to drawings: {report.pages.drawings.from_commit}")
            self._report(f"processor of web processes: {times:.2f} times that for sockets")
        if options["record"]:
            record(options["record"], _recorded_kind(options), recorded(report))
        return report.passed

    def _find_limit(
        self,
        installation: Installation,
        folder: Path,
        options: Mapping[str, Any],
        *,
        facts: Mapping[str, str],
    ) -> bool:
        limit = run_steps(
            installation,
            _run_of(options),
            most=options["most"],
            thresholds=THRESHOLDS,
            progress=self._report,
        )
        text = _limit_text(limit, facts)
        (folder / "report.md").write_text(f"# The limit\n\n{text}\n")
        self._report(limit_verdict(limit))
        if options["record"]:
            record(options["record"], _recorded_kind(options), text)
        return limit.holds > 0

    def _report(self, text: str) -> None:
        self.stdout.write(text)
        self.stdout.flush()


def _recorded_kind(options: Mapping[str, Any]) -> str:
    """The name of the page's part that a run is recorded in."""
    if options["find_limit"]:
        return "page-limit" if options["pages"] else "limit"
    return "pages" if options["pages"] else "gate"


def _run_of(options: Mapping[str, Any]) -> Run:
    return Run(
        watchers=options["pages"] or options["watchers"],
        pages=options["pages"] > 0,
        seconds=60 * options["minutes"],
        series_each=options["series_each"],
        processes=options["watcher_processes"],
        metrics=True,
    )


def _limit_text(limit: Limit, facts: Mapping[str, str]) -> str:
    shown = ", ".join(f"{name} {value}" for name, value in facts.items())
    verdict = f"`{_command()}`: **{limit_verdict(limit)}**"
    return f"{verdict}\n\n{shown}.\n\n{markdown_table(limit_rows(limit))}"


def _allow_many_files() -> None:
    """Every watcher is a file to two processes; children inherit the bound."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _command() -> str:
    return shlex.join(["manage.py", *sys.argv[1:]])
