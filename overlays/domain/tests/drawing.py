"""Candles taken through the factor and overlay engines, with all results kept."""

from __future__ import annotations

from collections.abc import Iterable

from factors.domain.engine import Engine
from factors.domain.pivot import PivotParameters
from factors.domain.slices import slices, window_start
from factors.domain.tests.installed import FACTORS
from factors.domain.values import Event
from market.domain.candle import Candle
from market.domain.series import SeriesId
from market.domain.timeframe import Timeframe
from overlays.domain.instruction import Change
from overlays.domain.integrity import Check, checks_of, facts_of
from overlays.domain.renderer import FactorStep
from overlays.domain.tests.installed import overlay_engine
from overlays.domain.versions import SeriesVersions

MINUTE = Timeframe.parse("1m")
SERIES = SeriesId.parse("x:y:Z:1m")


def flat(*prices) -> list[Candle]:
    """Minute candles from 60 on; a number p means open = high = low = close = p."""
    return [Candle(60 * n, p, p, p, p, 1.0) for n, p in enumerate(map(float, prices), 1)]


def wicks(*reaches) -> list[Candle]:
    """Minute candles from 60 on, given as (high, low)."""
    return [
        Candle(60 * n, float(low), float(high), float(low), float(high), 1.0)
        for n, (high, low) in enumerate(reaches, 1)
    ]


class Drawing:
    """One series on its way through both engines, with all results."""

    def __init__(self, *, major=1, minor=1, window=2000, timeframe=MINUTE) -> None:
        pivots = PivotParameters(window_major=major, window_minor=minor)
        self.factors = Engine(FACTORS, {"pivot": pivots})
        self.overlays = overlay_engine(window)
        self.facts = self.factors.initial(timeframe)
        self.state = self.overlays.initial(timeframe)
        self.timeframe = timeframe
        self.times: list[int] = []
        self.changes: list[Change] = []
        self.versions = SeriesVersions()
        self.events: list[Event] = []
        self.heads: dict[str, dict] = {}
        self.reads: list[int] = []
        self._candles: dict[int, Candle] = {}

    def take(self, candles: Iterable[Candle]) -> Drawing:
        """Fold candles in."""
        for candle in candles:
            self.step(candle)
        return self

    def step(self, candle: Candle) -> list[Change]:
        """Fold one candle in; answer what it changed."""
        self.times.append(candle.candle_time)
        self._candles[candle.candle_time] = candle
        result = self.factors.step(self.facts, candle)
        self.events += result.events
        self.heads |= {head.factor: head.head for head in result.heads}
        changes = self.overlays.step(self.state, FactorStep.of(result, self._read))
        for change in changes:
            self.versions.append(len(self.versions) + 1, change)
        self.changes += changes
        return changes

    def pass_on(self) -> None:
        """Let another worker go on from the saved state."""
        self.state = self.overlays.restore(self.overlays.dump(self.state), self._read)

    def at(self, time: int, feature: str = "") -> list[str]:
        """The ids that changed with the candle at `time`."""
        return [
            change.instruction_id
            for change in self.changes
            if change.visible_time == time and change.instruction_id.startswith(feature)
        ]

    def definition(self, instruction_id: str) -> dict:
        """The newest definition of an instruction."""
        version = self.versions.newest_of(instruction_id, self.times[-1])
        assert version is not None, instruction_id
        return dict(version.definition)

    def line(self, instruction_id: str) -> list[tuple[int, float]]:
        """The newest points of a polyline."""
        return [
            (point["time"], point["value"]) for point in self.definition(instruction_id)["points"]
        ]

    def _read(self, start: int, end: int) -> list[Candle]:
        self.reads.append(end)
        return [self._candles[time] for time in self.times if start <= time <= end]

    def versions_ids(self) -> set[str]:
        """The ids of all instructions there ever were."""
        return {version.instruction_id for version in self.versions}

    def mismatches(self, *, window: int) -> list[Check]:
        """The failed integrity checks right after the newest candle."""
        now = self.times[-1]
        start = window_start(now, window, self.timeframe)
        events = [event for event in self.events if event.candle_time >= start]
        seen = slices(FACTORS, SERIES, at_time=now, events=events, heads=self.heads)
        done = checks_of(facts_of(seen), self.versions, to_time=now, cutoff=start)
        return [check for check in done if check.should_rebuild]
