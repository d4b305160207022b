"""What one bar after the other changes in the drawings that a window shows.

The window of a bar reaches back as far as that of `frame/at_time`, so what is shown after any bar
is exactly what a frame of that bar has.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from heapq import heappop, heappush
from typing import NamedTuple

from factors.domain.slices import window_start
from market.domain.timeframe import Timeframe
from overlays.domain.instruction import LINE, POINT, InstructionVersion, span_of


class DrawnChange(NamedTuple):
    """What a bar changes in what is shown.

    `versions` are all that became visible with the bar, by number, those without a drawing in the
    window included; `points` the points among them. `drawn` are the versions that this bar shows
    and the bar before did not. `added` and `removed` are the ids that are shown from this bar on,
    and those that are not shown any more; both sorted.
    """

    versions: Sequence[InstructionVersion] = ()
    points: Sequence[InstructionVersion] = ()
    drawn: Sequence[InstructionVersion] = ()
    added: Sequence[str] = ()
    removed: Sequence[str] = ()


class DrawnWalk:
    """The drawings of one series at a bar, moved from bar to bar.

    `shown` has the newest version of each instruction whose span meets the window of `window`
    candles. No drawing comes into view with time alone: none begins after the bar with which it
    becomes visible.
    """

    def __init__(self, timeframe: Timeframe, window: int) -> None:
        self._timeframe = timeframe
        self._window = window
        self.shown: dict[str, InstructionVersion] = {}
        # The end of each drawing that has one, with the number of its version.
        self._ends: list[tuple[int, int, str]] = []

    def cutoff(self, time: int) -> int:
        """The earliest time that the window of the bar at `time` shows."""
        return window_start(time, self._window, self._timeframe)

    def begin(self, newest: Iterable[InstructionVersion]) -> None:
        """Show what VersionReader.newest returned for the first bar."""
        for version in newest:
            self._show(version)

    def step(self, time: int, versions: Iterable[InstructionVersion]) -> DrawnChange:
        """Move to the bar at `time`, with the versions and points that became visible since."""
        visible: list[InstructionVersion] = []
        points: list[InstructionVersion] = []
        was_shown: dict[str, bool] = {}
        cutoff = self.cutoff(time)
        for version in versions:
            if version.kind == POINT:
                points.append(version)
                continue
            visible.append(version)
            name = version.instruction_id
            was_shown.setdefault(name, name in self.shown)
            span = span_of(version.definition)
            if span is not None and span.meets(cutoff, time):
                self._show(version)
            else:
                self.shown.pop(name, None)
        while self._ends and self._ends[0][0] < cutoff:
            _, number, name = heappop(self._ends)
            current = self.shown.get(name)
            if current is not None and current.version_id == number:
                was_shown.setdefault(name, True)
                del self.shown[name]
        added = [name for name, was in was_shown.items() if not was and name in self.shown]
        removed = [name for name, was in was_shown.items() if was and name not in self.shown]
        drawn = [
            self.shown[name]
            for name in dict.fromkeys(each.instruction_id for each in visible)
            if name in self.shown
        ]
        return DrawnChange(visible, points, drawn, sorted(added), sorted(removed))

    def line_starts(self) -> dict[str, int]:
        """From which time on the points of each shown line count."""
        return {
            name: version.definition["start"]
            for name, version in self.shown.items()
            if version.kind == LINE
        }

    def _show(self, version: InstructionVersion) -> None:
        self.shown[version.instruction_id] = version
        span = span_of(version.definition)
        if span is not None and span.end is not None:
            heappush(self._ends, (span.end, version.version_id, version.instruction_id))
