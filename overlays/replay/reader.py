"""Walks over the ledgers of one series, from the state at any candle forwards.

The state at a candle is read as a frame of it is, so a walk may begin anywhere. Nothing is
computed. All reads of a walk see one past: when it changed meanwhile, the walk ends with Revised.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar

from factors.domain.graph import FactorSpec
from factors.domain.ledger import FactorLedger
from factors.domain.slices import EVENT_LIMIT
from factors.domain.values import Event, Head, Payload
from factors.domain.walk import FactorWalk, SliceChange, as_row
from market.domain.candle import Candle
from market.domain.series import SeriesId
from market.domain.store import CandleStore
from overlays.domain.instruction import InstructionVersion, Point
from overlays.domain.ledger import OverlayLedger
from overlays.domain.replay import DrawnChange, DrawnWalk
from overlays.reads import OutOfSync

VERSIONS_AT_ONCE = 20_000

T = TypeVar("T", Event, Head)


class Revised(Exception):
    """Candles or drawings of the past changed since the walk began."""


class Past(NamedTuple):
    """What the past of a series is known by: it is the same while these are."""

    epoch: int
    generation: str
    takebacks: int


class Bar(NamedTuple):
    """A candle, and what it changes in drawings and, as rows, in the slices of factors."""

    candle: Candle
    drawn: DrawnChange
    factor_rows: Sequence[Payload]


@dataclass(frozen=True, slots=True)
class ReplayReader:
    """Begins walks over the candle store and both ledgers."""

    candles: CandleStore
    facts: FactorLedger
    drawings: OverlayLedger
    specs: Sequence[FactorSpec]

    def begin(self, series: SeriesId, at: int, *, window: int, with_factors: bool) -> SeriesWalk:
        """A walk that stands at the last candle up to `at`, or before the first one. Blocking.

        `window` is how many candles each bar shows, as in a frame. Raises OutOfSync and Revised.
        """
        past, reached = self.past(series, with_factors=with_factors)
        walk = SeriesWalk(self, series, window, past, reached, with_factors)
        kept_from = self.candles.kept_from(series)
        if kept_from and at < kept_from:
            # What is drawn at the first candle may have begun with candles that are removed.
            at = max(at, self.candles.first(series) or at)
        walk.stand_at(at)
        return walk

    def past(self, series: SeriesId, *, with_factors: bool) -> tuple[Past, int]:
        """The series' past, and the newest candle up to which its ledgers go (-1: none)."""
        # In this order, so that the drawings are never newer than the candles.
        drawn = self.drawings.state(series)
        facts = self.facts.position(series) if with_factors else None
        candles = self.candles.state(series)
        if candles.head is None:
            return Past(candles.epoch, candles.generation, 0), -1
        if drawn is None or drawn.position.epoch != candles.epoch:
            raise OutOfSync("overlay")
        reached = min(drawn.position.head_time, candles.head)
        if with_factors:
            if facts is None or facts.epoch != candles.epoch:
                raise OutOfSync("factor")
            reached = min(reached, facts.head_time)
        return Past(candles.epoch, candles.generation, drawn.takebacks), reached


@dataclass(slots=True)
class SeriesWalk:
    """One series at one bar; `advance` moves it on.

    `time` is the bar's open time, None before the first candle; `reached` the last bar to which
    the walk can go.
    """

    reader: ReplayReader
    series: SeriesId
    window: int
    past: Past
    reached: int
    with_factors: bool
    time: int | None = None
    candle: Candle | None = None
    first_rows: Sequence[Payload] = ()
    points: Mapping[str, Sequence[Point]] = field(default_factory=dict)
    drawn: DrawnWalk = field(init=False)
    factors: FactorWalk = field(init=False)
    _cursor: int | None = None

    def __post_init__(self) -> None:
        self.drawn = DrawnWalk(self.series.timeframe, self.window)
        self.factors = FactorWalk(self.reader.specs)

    def stand_at(self, at: int) -> None:
        """Read the state at the last candle up to `at` that the ledgers have reached."""
        newest = self.reader.candles.newest(self.series, 1, up_to=min(at, self.reached))
        if newest:
            (self.candle,) = newest
            self.time = time = self.candle.candle_time
            cutoff = self.drawn.cutoff(time)
            versions = self.reader.drawings.versions(self.series)
            self.drawn.begin(versions.newest(time, cutoff=cutoff))
            if starts := self.drawn.line_starts():
                self.points = _points(versions.points(time, cutoff=cutoff), starts)
            if self.with_factors:
                seen = self.reader.facts.view(
                    self.series, start=cutoff, at_time=time, limit=EVENT_LIMIT
                )
                changes = self.factors.begin(time, seen.events, seen.heads)
                self.first_rows = self._rows(time, changes)
        self.require_same_past()

    def advance(self, to_time: int, limit: int) -> list[Bar]:
        """Move over the next bars up to `to_time`, at most `limit` of them. Blocking.

        Fewer bars than `limit` mean that there are no more. Raises OutOfSync and Revised.
        """
        return self.take(self.following(to_time, limit))

    def following(self, to_time: int, limit: int) -> list[Candle]:
        """The next candles up to `to_time`, at most `limit`, without moving."""
        end = min(to_time, self.reached)
        start = 0 if self.time is None else self.time + 1
        if end < start:
            return []
        return self.reader.candles.read_range(self.series, start, end, limit=limit)

    def take(self, candles: Sequence[Candle]) -> list[Bar]:
        """Move over the candles that follow."""
        if not candles:
            return []
        start, end = candles[0].candle_time, candles[-1].candle_time
        start = start if self.time is None else self.time + 1
        versions = _by_time(self._versions(end), candles)
        events: Mapping[int, list[Event]] = {}
        heads: Mapping[int, list[Head]] = {}
        if self.with_factors:
            events = _of_candles(self.reader.facts.events(self.series, start, end))
            heads = _of_candles(self.reader.facts.heads(self.series, start, end))
        self.require_same_past()
        bars = []
        for candle in candles:
            time = candle.candle_time
            rows: Sequence[Payload] = ()
            if self.with_factors:
                changes = self.factors.step(
                    time, self.drawn.cutoff(time), events.get(time, ()), heads.get(time, ())
                )
                rows = self._rows(time, changes)
            bars.append(Bar(candle, self.drawn.step(time, versions.get(time, ())), rows))
        self.candle = candles[-1]
        self.time = end
        return bars

    def require_same_past(self) -> None:
        """Raise Revised if what was read so far does not belong together any more."""
        try:
            now, _ = self.reader.past(self.series, with_factors=self.with_factors)
        except OutOfSync:
            raise Revised from None
        if now != self.past:
            raise Revised

    def _rows(self, time: int, changes: Mapping[str, SliceChange]) -> list[Payload]:
        shown = self.factors.shown
        return [as_row(name, time, changes[name], shown) for name in sorted(changes)]

    def _versions(self, end: int) -> list[InstructionVersion]:
        """The versions and points that became visible after this bar, up to `end`."""
        reader = self.reader.drawings.versions(self.series)
        if self._cursor is None:
            self._cursor = 0 if self.time is None else reader.greatest_id(self.time)
        found: list[InstructionVersion] = []
        while True:
            page = reader.after(self._cursor, end, limit=VERSIONS_AT_ONCE)
            found += page
            if page:
                self._cursor = page[-1].version_id
            if len(page) < VERSIONS_AT_ONCE:
                return found


def _points(
    points: Iterable[InstructionVersion], starts: Mapping[str, int]
) -> dict[str, list[Point]]:
    """The points of lines; those before the start of a line belong to an earlier one."""
    found: dict[str, list[Point]] = {}
    for _, name, _, time, definition in points:
        if name in starts and time >= starts[name]:
            found.setdefault(name, []).append((time, definition["value"]))
    return found


def _by_time(
    versions: Iterable[InstructionVersion], candles: Sequence[Candle]
) -> dict[int, list[InstructionVersion]]:
    """Versions by the bar with which they are to be shown: the first at or after their time."""
    found: defaultdict[int, list[InstructionVersion]] = defaultdict(list)
    times = iter(candles)
    bar = next(times).candle_time
    for version in versions:
        while bar < version.visible_time:
            bar = next(times).candle_time
        found[bar].append(version)
    return found


def _of_candles(rows: Iterable[T]) -> dict[int, list[T]]:
    found: defaultdict[int, list[T]] = defaultdict(list)
    for row in rows:
        found[row.candle_time].append(row)
    return found
