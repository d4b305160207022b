"""A whole run as the command and the tests make it: a topology, a measurement, a report."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from lab.capacity.bare import measure_bare
from lab.capacity.gate import Thresholds, judge
from lab.capacity.limit import Limit, Step, find_limit
from lab.capacity.measure import Measurement, Run, Say
from lab.capacity.profiles import Profiler
from lab.capacity.programs import TopologyFailed
from lab.capacity.report import Report, write_report
from lab.capacity.topology import Layout, Topology

# A closed candle and four states of the next: what a watcher gets of a series of one second.
MESSAGES_A_SECOND = 5.0
BARE_S = 15.0
STEP_S = 30.0
PROFILED = ("web-1", "worker")


@contextmanager
def open_topology(layout: Layout, logs: Path) -> Iterator[Topology]:
    """A topology with fresh candles in every series; nothing of it stays but the logs."""
    directory = Path(tempfile.mkdtemp(prefix="trade_canvas-capacity-"))
    # The servers' account must be able to pass through.
    directory.chmod(0o711)
    try:
        with Topology(directory, layout, logs=logs) as topology:
            topology.wait_flowing()
            yield topology
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def run_gate(
    topology: Topology,
    run: Run,
    folder: Path,
    *,
    command: str,
    facts: Mapping[str, str],
    thresholds: Thresholds,
    say: Say,
    with_bare: bool = False,
    with_profile: bool = False,
) -> Report:
    """Measure, judge, and write the report into `folder`.

    With a bare loop beside it, the topology's programs are stopped for that. Raises TopologyFailed.
    """
    profiled = [topology.program(name) for name in PROFILED if with_profile]

    def beside() -> Profiler:
        return Profiler(profiled, folder, run.seconds)

    measured, raw = Measurement(topology, run, say=say, beside=beside).measure()
    if with_bare:
        topology.stop_programs()
        rate = MESSAGES_A_SECOND * run.series_each
        bare = measure_bare(
            topology,
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
    )
    write_report(folder, report, raw)
    return report


def run_steps(
    topology: Topology, run: Run, *, most: int, thresholds: Thresholds, say: Say
) -> Limit:
    """Find the number of watchers from `run.watchers` on that breaks a threshold."""

    def attempt(watchers: int) -> Step:
        # Near the limit candles never pause, and only then can the servers' counts be compared.
        step = replace(run, watchers=watchers, seconds=STEP_S, storms=False, metrics=False)
        try:
            measured, _ = Measurement(topology, step, say=say).measure()
        except TopologyFailed as error:
            say(f"{watchers} watchers: {error}")
            return Step(watchers, None, failure=str(error))
        done = Step(watchers, measured, judge(measured, thresholds))
        say(f"{watchers} watchers: {measured.from_commit}; broken: {done.broken}")
        return done

    return find_limit(attempt, start=run.watchers, most=most)
