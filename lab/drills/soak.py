"""A long quiet run: memory, open files and connections of every process, which must stay flat.

Series of one second make a day's worth of one-minute candles in 24 minutes.
"""

from __future__ import annotations

import statistics
import time
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

from lab.drills.ground import Ground, Report, installed
from lab.drills.outcome import Outcome
from lab.exchange import local_series
from lab.installation import Installation
from lab.plots import line_plot

SERIES = 20
WATCHERS = 200
PERIOD_S = 5.0
MIB = 1 << 20
# The last quarter against the one before the last: caches fill and bounded ledgers warm up first.
MOST_GROWTH = 1.1
# A few more are normal: a pool opens a connection when two threads need one at once.
MOST_MORE = 10

Curves = dict[str, list[tuple[float, float]]]


class Samples:
    """Samples of every process, by figure and process; times in minutes."""

    def __init__(self) -> None:
        self.curves: dict[str, Curves] = defaultdict(lambda: defaultdict(list))
        self._began = time.monotonic()

    def take(self, installation: Installation) -> None:
        """Take one sample of everything."""
        for program in (*installation.services, installation.exchange):
            self._note("memory, MiB", program.name, program.memory() / MIB)
            self._note("open files", program.name, program.open_files())
        connections = installation.sql("SELECT count(*) FROM pg_stat_activity")[0][0]
        self._note("connections", "PostgreSQL", connections)

    def _note(self, figure: str, name: str, value: float) -> None:
        minutes = (time.monotonic() - self._began) / 60
        self.curves[figure][name].append((minutes, value))

    def growing(self) -> list[str]:
        """Return the curves that are not flat at their end."""
        return [
            f"{figure} of {name}: {before:.0f} to {after:.0f}"
            for figure, curves in self.curves.items()
            for name, points in curves.items()
            for before, after in [end_of(points)]
            if after > max(before * MOST_GROWTH, before + MOST_MORE)
        ]


def end_of(points: list[tuple[float, float]]) -> tuple[float, float]:
    """Return the medians of the third and of the last quarter of a curve."""
    values = [value for _, value in points]
    quarter = max(1, len(values) // 4)
    third = values[-2 * quarter : -quarter] or values
    return statistics.median(third), statistics.median(values[-quarter:])


def soak(minutes: float, report: Report, *, graphs: Path | None, logs: Path | None) -> Outcome:
    """Have 200 watchers follow 20 series for so long; write a graph of each figure to `graphs`."""
    with installed(series=local_series(SERIES), logs=logs) as installation:
        ground, samples = Ground(installation, report), Samples()
        try:
            with ground.watched(f"nothing, for {minutes:g} minutes", watchers=WATCHERS) as watch:
                watch.begin_fault()
                deadline = time.monotonic() + 60 * minutes
                while time.monotonic() < deadline:
                    samples.take(installation)
                    time.sleep(PERIOD_S)
                for name, points in samples.curves["memory, MiB"].items():
                    watch.note(f"{name} {points[0][1]:.0f} to {points[-1][1]:.0f} MiB")
                for growth in samples.growing():
                    watch.expect(False, f"grows: {growth}")
        finally:
            if graphs is not None:
                write_graphs(graphs, samples.curves)
    return ground.outcomes[-1]


def write_graphs(folder: Path, curves: Mapping[str, Curves]) -> None:
    """Write one SVG for each figure."""
    for figure, lines in curves.items():
        name = figure.partition(",")[0].replace(" ", "-")
        title = f"{figure.partition(',')[0].capitalize()} over a soak"
        picture = line_plot(title, lines, x="minutes", y=figure)
        (folder / f"soak-{name}.svg").write_text(picture)
