"""A whole run as the command and the tests make it: an installation, a measurement, a report."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from lab.capacity.bare import measure_bare
from lab.capacity.figures import Measured
from lab.capacity.gate import Thresholds, judge, judge_pages
from lab.capacity.limit import Limit, Step, find_limit
from lab.capacity.measure import Progress, Raw, Run, measure
from lab.capacity.profiles import Profiler
from lab.capacity.report import Report, write_report
from lab.exchange import seconds_of
from lab.installation import Installation, passable_folder
from lab.program import LabFailed
from lab.waiting import WaitTimeout, wait_until
from trade_canvas.switches import PREFIX
from trade_canvas.up.plan import DEFAULTS

FLOW_S = 60.0
# A head this many candles old is still fresh: one is closing, one may be on its way.
FRESH_CANDLES = 3
# A closed candle and four states of the next: what a watcher gets of a series of one second.
MESSAGES_A_SECOND = 5.0
BARE_S = 15.0
STEP_S = 30.0
PROFILED = ("web-1", "worker")


@contextmanager
def open_installation(
    series: tuple[str, ...], *, webs: int = 2, history: int = 2000, logs: Path
) -> Iterator[Installation]:
    """An installation with history and fresh candles in every series.

    Switches of the environment apply, those of `up` are the defaults. Only the logs are kept.
    """
    given = {name: value for name, value in os.environ.items() if name.startswith(PREFIX)}
    given.pop(f"{PREFIX}SIM_URL", None)
    switches = {
        **DEFAULTS,
        **given,
        "DEBUG": "0",
        # No series is turned away: the machine is to be what breaks first.
        f"{PREFIX}ONDEMAND_MAX_JOBS": "0",
        f"{PREFIX}STARTUP_KLINE_SYNC_TARGET_CANDLES": str(max(100, history)),
        f"{PREFIX}ENABLE_CAPACITY_METRICS": "1",
    }
    with passable_folder() as folder, Installation(folder, switches, logs=logs) as installation:
        installation.sql("ALTER SYSTEM SET track_commit_timestamp = on")
        installation.postgres.stop()
        installation.postgres.start()
        installation.manage("migrate", "-v0")
        installation.whitelist(series)
        installation.local_exchange()
        installation.start_all(webs=webs)
        wait_until(
            lambda: _all_flow(installation, history), FLOW_S, "fresh candles of every series"
        )
        yield installation


def _all_flow(installation: Installation, history: int) -> bool:
    installation.check()
    rows = installation.sql(
        "SELECT name, head_time, (SELECT count(*) FROM candles WHERE series_id = id) FROM series"
        " WHERE head_time IS NOT NULL"
    )
    flowing = {
        name
        for name, head, count in rows
        if head + FRESH_CANDLES * seconds_of(name) > time.time() and count >= history
    }
    return flowing >= set(installation.series)


def run_gate(
    installation: Installation,
    run: Run,
    folder: Path,
    *,
    command: str,
    facts: Mapping[str, str],
    thresholds: Thresholds,
    progress: Progress,
    with_bare: bool = False,
    with_profile: bool = False,
) -> Report:
    """Measure, judge, and write the report into `folder`. Raises LabFailed.

    With `run.pages` as many watchers of the socket alone are measured before. For a bare loop
    beside it, the installation's programs are stopped.
    """
    profiled = [each for each in installation.programs if with_profile and each.name in PROFILED]

    def beside() -> Profiler:
        return Profiler(profiled, folder, run.seconds)

    pages: Measured | None = None
    page_raw: Raw | None = None
    if run.pages:
        measured, raw = measure(installation, replace(run, pages=False), progress=progress)
        pages, page_raw = measure(installation, run, progress=progress, beside=beside)
    else:
        measured, raw = measure(installation, run, progress=progress, beside=beside)
    if with_bare:
        installation.stop_programs()
        rate = MESSAGES_A_SECOND * run.series_each
        bare = measure_bare(
            installation,
            watchers=run.watchers,
            processes=run.processes,
            per_second=rate,
            seconds=BARE_S,
        )
        measured = replace(measured, bare=bare)
    report = Report(
        command=command,
        began=time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(raw.window.start)),
        facts=facts,
        measured=measured,
        checks=judge(measured, thresholds),
        pages=pages,
        page_checks=judge_pages(pages, measured, thresholds) if pages else (),
    )
    write_report(folder, report, raw, page_raw)
    return report


def run_steps(
    installation: Installation, run: Run, *, most: int, thresholds: Thresholds, progress: Progress
) -> Limit:
    """Find the number of watchers, from `run.watchers` on, that breaks a threshold.

    With `run.pages` it is one of pages, each beside as many sockets.
    """
    kind = "pages" if run.pages else "watchers"

    def attempt(watchers: int) -> Step:
        # Near the limit candles never pause, and only then can the servers' counts be compared.
        step = replace(run, watchers=watchers, seconds=STEP_S, storms=False, metrics=False)
        try:
            measured, _ = measure(installation, replace(step, pages=False), progress=progress)
            checks = judge(measured, thresholds)
            if run.pages:
                pages, _ = measure(installation, step, progress=progress)
                checks = judge_pages(pages, measured, thresholds)
                measured = pages
        except (LabFailed, WaitTimeout) as error:
            progress(f"{watchers} {kind}: {error}")
            return Step(watchers, None, failure=str(error))
        done = Step(watchers, measured, checks)
        progress(f"{watchers} {kind}: {measured.from_commit}; broken: {done.broken}")
        return done

    return find_limit(attempt, start=run.watchers, most=most, kind=kind)
