"""Candidates for support and resistance levels, and which of them stand at a moment.

A level comes from a pivot (its start) and an earlier pivot of the same kind whose wick overlaps
(its partner). The partner, the line and the band never change once the start is known; only the
status does, so that a snapshot looks at nothing twice. Factor contract, sections 11.3 to 11.5.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from math import inf
from typing import NamedTuple

from factors.domain.closes import CloseWindow, Walk
from factors.domain.facts import Payload
from factors.domain.pivot import RESISTANCE

ACTIVE = "active"
FLIP = "flip"
BROKEN = "broken"

# A level without any true range around it takes these parts of its price instead.
PRICE_TOLERANCE = 0.002
PRICE_RANGE = 0.02
TINY = 1e-9

# The band's width in true ranges, and how close (in prices) two levels are the same.
NARROWEST_BAND = 0.5
WIDEST_BAND = 3.0
SAME_PRICE = 0.001

# The true range goes up and down: a walk of some judgements ago often holds again.
KEPT_WALKS = 4


@dataclass(frozen=True, slots=True)
class SrParameters:
    """How levels are found, judged and chosen; the last two are declared but decide nothing."""

    tolerance_atr: float = 0.5
    min_touches: int = 2
    max_levels: int = 10
    broken_cross_count: int = 3
    atr_period: int = 14
    cluster_pivot_limit: int = 200
    cross_atr_multiplier: float = 0.5
    flip_pivot_count: int = 3

    def __post_init__(self) -> None:
        counts = (self.max_levels, self.broken_cross_count, self.atr_period)
        if min(*counts, self.cluster_pivot_limit) < 1:
            raise ValueError("sr counts, period and limits must be at least 1")


class Moment(NamedTuple):
    """What a judgement sees: closes before ordinal `end` and the newest of them.

    A close within `near` of a level says nothing; None without any true range.
    """

    closes: CloseWindow
    end: int
    last_close: float
    near: float | None


class Touch(NamedTuple):
    """A pivot as levels see it: its candle's reach and the average true range there.

    `near` is how far from a level's band it may lie to touch it; 0 without any true range.
    """

    ordinal: int
    time: int
    high: float
    low: float
    atr: float
    near: float


Judgement = tuple[str, str | None, int | None, int]
"""What can change about a level: status, direction of the flip, death, touches."""


class Shown(NamedTuple):
    """A level as a snapshot shows it: itself, and the two pivots that touch it."""

    level: Payload
    touches: tuple[Payload, Payload]


@dataclass(slots=True, eq=False)
class Level:
    """A level with its status as judged last.

    `newer` are levels of later starts that count as the same price. `place` is where the level
    stands in the list of its kind, -1 when it does not. While it is broken, any nearness between
    `same_from` and `same_to` gives the same death, any up to `broken_to` some death. `walks` are
    the latest judgements' walks, `shown` the payloads of some: both only spare work.
    """

    start: Touch
    partner: Touch
    line: float
    same_within: float
    band_low: float
    band_high: float
    band_width_atr: float
    touches: int = 0
    newer: list[Level] = field(default_factory=list)
    place: int = -1
    status: str = ACTIVE
    flip_dir: str | None = None
    death_idx: int | None = None
    same_from: float = inf
    same_to: float = -inf
    broken_to: float = -inf
    walks: list[Walk] = field(default_factory=list)
    shown: dict[Judgement, Shown] = field(default_factory=dict)


def tolerance(first: float, second: float, reference: float, *, part: float) -> float:
    """How far prices may lie apart near candles with these true ranges (contract 11.3)."""
    found = _mean_positive(first, second) * part
    if found > 0:
        return found
    return PRICE_TOLERANCE * (reference if reference > 0 else 1)


def _mean_positive(first: float, second: float) -> float:
    """The mean of those that are positive, 0 when none is."""
    if first > 0 and second > 0:
        return (first + second) / 2
    return max(first, second, 0.0)


@dataclass(slots=True)
class Side:
    """The newest pivots of one kind, oldest first, and the level that starts at each, if any."""

    kind: str
    parameters: SrParameters
    pivots: list[Touch] = field(default_factory=list)
    levels: list[Level | None] = field(default_factory=list)

    def add(self, pivot: Touch, closes: CloseWindow) -> None:
        """Take in a pivot that is newer than all others."""
        self._drop_oldest()
        self.pivots.append(pivot)
        partner = self._partner(pivot, closes)
        self._count_touch(pivot, 1)
        self.levels.append(None)
        if partner is not None:
            self.put(len(self.pivots) - 1, partner)

    def put(self, position: int, partner: Touch) -> None:
        """Give the pivot at this position its level, after those of all earlier pivots."""
        level = self._level(self.pivots[position], partner)
        level.touches = sum([self._meets(level, pivot) for pivot in self.pivots])
        for older in self.levels[:position]:
            if older is not None and abs(level.line - older.line) <= older.same_within:
                older.newer.append(level)
        self.levels[position] = level

    def standing(self, moment: Moment) -> list[Level]:
        """Judge the levels and merge those of one price; in the order of the contract's list."""
        standing: list[Level] = []
        for level in reversed(self.levels):
            if level is None:
                continue
            level.place = -1
            same = _first_same(level, standing) if level.newer else None
            near = self._near(level, moment)
            if same is None:
                if not level.same_from <= near <= level.same_to:
                    self._judge(level, moment, near=near)
                level.place = len(standing)
                standing.append(level)
            # Closes that broke it beyond a wider zone broke it beyond this one, too.
            elif same.status == BROKEN and near > level.broken_to:
                self._judge(level, moment, near=near)
                if level.status != BROKEN:
                    level.place, same.place = same.place, -1
                    standing[level.place] = level
        return standing

    def _drop_oldest(self) -> None:
        if len(self.pivots) < self.parameters.cluster_pivot_limit:
            return
        gone = self.pivots.pop(0)
        del self.levels[0]
        for level in [one for one in self.levels if one is not None and one.partner is gone]:
            # Whoever was refused before this partner is still refused: no level any more.
            self.levels[self.levels.index(level)] = None
            level.place = -1
        self._count_touch(gone, -1)

    def _count_touch(self, pivot: Touch, change: int) -> None:
        """A pivot came or went: count it at every level that it touches."""
        high, low, near = pivot.high, pivot.low, pivot.near
        for level in self.levels:
            if level is None:
                continue
            if near:
                # Written out: of all a snapshot does this is done most often.
                met = high >= level.band_low - near and low <= level.band_high + near
            else:
                met = self._meets(level, pivot)
            if met:
                level.touches += change

    def _partner(self, start: Touch, closes: CloseWindow) -> Touch | None:
        limit = self.parameters.broken_cross_count
        for other, line, near in self._overlapping(start):
            walk = Walk(other.ordinal + 1, other.ordinal + 1)
            closes.follow(walk, start.ordinal, low=line - near, high=line + near, limit=limit + 1)
            if len(walk.turns) <= limit:
                return other
        return None

    def _overlapping(self, start: Touch) -> Iterator[tuple[Touch, float, float]]:
        """Earlier pivots whose wick overlaps, newest first, with their line and tolerance."""
        start_high, start_low, start_near = start.high, start.low, start.near
        sure, resists = start_near > 0, self.kind == RESISTANCE
        for other in reversed(self.pivots[:-1]):
            high, low = other.high, other.low
            if start_high < high:
                high = start_high
            if start_low > low:
                low = start_low
            # Several times further apart than is tolerated: most are, and need no closer look.
            if sure and other.near and low - high > 2 * (start_near + other.near):
                continue
            line = high if resists else low
            near = self._tolerance(start, other, line)
            if low <= high + near:
                yield other, line, near

    def _level(self, start: Touch, partner: Touch) -> Level:
        overlap = (max(partner.low, start.low), min(partner.high, start.high))
        line = overlap[1] if self.kind == RESISTANCE else overlap[0]
        low, high = sorted(overlap)
        scale = _mean_positive(partner.atr, start.atr) or line * PRICE_RANGE
        if not scale > 0:
            scale = max(abs(line) * PRICE_RANGE, TINY)
        width = (high - low) or NARROWEST_BAND * scale
        width = max(NARROWEST_BAND * scale, min(width, WIDEST_BAND * scale))
        middle = (low + high) / 2
        return Level(
            start=start,
            partner=partner,
            line=line,
            same_within=max(SAME_PRICE * abs(line), self._tolerance(start, partner, line) / 2),
            band_low=middle - width / 2,
            band_high=middle + width / 2,
            band_width_atr=width / scale,
        )

    def _tolerance(self, first: Touch, second: Touch, reference: float) -> float:
        return tolerance(first.atr, second.atr, reference, part=self.parameters.tolerance_atr)

    def _meets(self, level: Level, pivot: Touch) -> bool:
        """Whether the pivot's wick comes near the level's band."""
        low, high = level.band_low, level.band_high
        near = pivot.near or self._tolerance(pivot, pivot, (low + high) / 2)
        return pivot.high >= low - near and pivot.low <= high + near

    def _near(self, level: Level, moment: Moment) -> float:
        """How far from the level a close says something about it."""
        if moment.near is not None:
            return moment.near
        return self.parameters.tolerance_atr * max(abs(level.line) * PRICE_RANGE, TINY)

    def _judge(self, level: Level, moment: Moment, *, near: float) -> None:
        """Set the status: what the closes since the level's start did to it."""
        low, high = level.line - near, level.line + near
        limit = self.parameters.broken_cross_count
        walk = _walk(level, low, high)
        turns = walk.turns
        if len(turns) < limit:
            moment.closes.follow(walk, moment.end, low=low, high=high, limit=limit)
        level.flip_dir = None
        if len(turns) == limit:
            _broke(level, turns[-1], near=near)
        elif turns:
            _lives(level, turns[-1], status=FLIP)
            if moment.last_close > high:
                level.flip_dir = "up"
            elif moment.last_close < low:
                level.flip_dir = "down"
        else:
            _lives(level, None, status=ACTIVE)


def _broke(level: Level, death_idx: int, *, near: float) -> None:
    """Note that a level is broken, and for which zones the same close is known to have done it.

    A wider zone is never crossed earlier: what did it in two zones did it in all between.
    """
    if level.status != BROKEN or level.death_idx != death_idx:
        level.status, level.death_idx = BROKEN, death_idx
        level.same_from = level.same_to = near
    level.same_from = min(level.same_from, near)
    level.same_to = max(level.same_to, near)
    level.broken_to = max(level.broken_to, near)


def _lives(level: Level, death_idx: int | None, *, status: str) -> None:
    """Note that a level is not broken, so that nothing is known for the next judgement."""
    level.status, level.death_idx = status, death_idx
    level.same_from, level.same_to = inf, -inf


def _walk(level: Level, low: float, high: float) -> Walk:
    """The walk that holds for these prices, or a new one in place of the oldest kept."""
    for walk in level.walks:
        if walk.holds(low, high):
            return walk
    start = level.start.ordinal + 1
    level.walks = [Walk(start, start), *level.walks[: KEPT_WALKS - 1]]
    return level.walks[0]


def _first_same(level: Level, standing: list[Level]) -> Level | None:
    """The first standing level that counts as the same price."""
    newer = level.newer
    if len(standing) < len(newer):
        line, within = level.line, level.same_within
        return next((other for other in standing if abs(other.line - line) <= within), None)
    first: Level | None = None
    for other in newer:
        if other.place >= 0 and (first is None or other.place < first.place):
            first = other
    return first
