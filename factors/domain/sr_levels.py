"""Candidates for support and resistance levels, made as their pivots are confirmed.

A level comes from a pivot (its start) and an earlier pivot of the same kind whose wick overlaps
(its partner). Partner, line and band never change once the start is known; only the status does
(`sr_status`). Factor contract, sections 11.3 and 11.4.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf
from typing import NamedTuple

from factors.domain.pivot import RESISTANCE
from factors.domain.sr_closes import CloseWindow, Crossings
from factors.domain.values import Payload

ACTIVE = "active"
FLIP = "flip"
BROKEN = "broken"

# Places of levels that are not listed, because another one of the same price is: until the level
# is no longer broken, or in any case.
BROKEN_DUPLICATE = -1
DUPLICATE = -2

# A level without any true range around it uses these parts of its price instead.
PRICE_TOLERANCE = 0.002
PRICE_RANGE = 0.02
TINY = 1e-9

# The band's width in true ranges, and how close (in prices) two levels are the same.
NARROWEST_BAND = 0.5
WIDEST_BAND = 3.0
SAME_PRICE = 0.001


@dataclass(frozen=True, slots=True)
class SrParameters:
    """How levels are found, judged and chosen; the last two are accepted but have no effect."""

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


@dataclass(slots=True, eq=False)
class Touch:
    """A pivot as levels see it: its candle's high and low, and the average true range there.

    `near` is how far from a level's band it may lie to touch it; 0 without any true range. Wicks
    that don't overlap the range from `widest_low` to `widest_high`, which is wider than tolerated,
    need no closer look: most don't. `partner_of` are the levels it is partner of.
    """

    ordinal: int
    time: int
    high: float
    low: float
    atr: float
    near: float
    widest_low: float = field(init=False)
    widest_high: float = field(init=False)
    partner_of: list[Level] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        reach = 2 * self.near or inf
        self.widest_low, self.widest_high = self.low - reach, self.high + reach


Judgement = tuple[str, str | None, int | None, int]
"""What can change in a level: status, direction of the flip, death, touches."""


class Shown(NamedTuple):
    """A level as a snapshot shows it, the two pivots that touch it, and its part of the digest."""

    level: Payload
    touches: tuple[Payload, Payload]
    token: str


@dataclass(slots=True, eq=False)
class Level:
    """A level with its newest status.

    `newer` are levels of later starts that count as the same price, `older` those that this one
    is newer to. `place` orders the listed levels, the greatest first: it is the start's ordinal,
    or that of the level whose place it took. Others are a `DUPLICATE` or a `BROKEN_DUPLICATE`.

    The rest is a cache. The status of a listed level (but a flip's direction) is still valid while
    the moment's `near` is between `valid_near_from` and `valid_near_to` and the closes since the
    last snapshot are between `valid_low` and `valid_high`. It is known to be broken for any `near`
    up to `broken_within`. `crossings` are those of the latest judgements. `shown` holds payloads
    by judgement, `now` the payload of the newest one; None when it must be looked up.
    """

    kind: str
    start: Touch
    partner: Touch
    line: float
    same_within: float
    band_low: float
    band_high: float
    band_width_atr: float
    touches: int = 0
    newer: list[Level] = field(default_factory=list)
    older: list[Level] = field(default_factory=list)
    place: int = DUPLICATE
    status: str = ACTIVE
    flip_dir: str | None = None
    death_idx: int | None = None
    valid_near_from: float = inf
    valid_near_to: float = -inf
    valid_low: float = -inf
    valid_high: float = inf
    broken_within: float = -inf
    crossings: list[Crossings] = field(default_factory=list)
    shown: dict[Judgement, Shown] = field(default_factory=dict)
    now: Shown | None = None


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
    """The newest pivots of one kind, oldest first, and the level that starts at each, if any.

    `listed` are the levels from which the last snapshot was chosen, `broken_duplicates` those left
    out for being broken. `to_merge` are those whose levels of the same price changed since then.
    """

    kind: str
    parameters: SrParameters
    pivots: list[Touch] = field(default_factory=list)
    levels: list[Level | None] = field(default_factory=list)
    listed: list[Level] = field(default_factory=list)
    broken_duplicates: list[Level] = field(default_factory=list)
    to_merge: list[Level] = field(default_factory=list)

    def add(self, pivot: Touch, closes: CloseWindow) -> None:
        """Add a pivot that is newer than all others."""
        if len(self.pivots) >= self.parameters.cluster_pivot_limit:
            self._drop_oldest()
        self.pivots.append(pivot)
        partner = self._partner(pivot, closes)
        self._count_touch(pivot, 1)
        self.levels.append(None)
        if partner is not None:
            self.put(len(self.pivots) - 1, partner)

    def put(self, position: int, partner: Touch) -> None:
        """Make the level that starts at this position, after those of all earlier pivots."""
        level = self._level(self.pivots[position], partner)
        low, high, otherwise = level.band_low, level.band_high, _near_without_range(level)
        level.touches = sum(
            [
                one.high >= low - (one.near or otherwise)
                and one.low <= high + (one.near or otherwise)
                for one in self.pivots
            ]
        )
        for older in self.levels[:position]:
            if older is not None and abs(level.line - older.line) <= older.same_within:
                older.newer.append(level)
                level.older.append(older)
        self.levels[position] = level
        partner.partner_of.append(level)
        self.to_merge.append(level)

    def _drop_oldest(self) -> None:
        gone = self.pivots.pop(0)
        del self.levels[0]
        # The pivots that were passed over before this partner still don't fit: no other partner.
        for level in gone.partner_of:
            self.levels[self.levels.index(level)] = None
            for own in (self.listed, self.broken_duplicates, self.to_merge):
                if level in own:
                    own.remove(level)
            for newer in level.newer:
                newer.older.remove(level)
            for older in level.older:
                older.newer.remove(level)
            self.to_merge += level.newer + level.older
        self._count_touch(gone, -1)

    def _count_touch(self, pivot: Touch, change: int) -> None:
        """Add `change` to the touches of every level that the pivot touches."""
        high, low, near = pivot.high, pivot.low, pivot.near
        for level in self.levels:
            if level is not None:
                within = near or _near_without_range(level)
                if high >= level.band_low - within and low <= level.band_high + within:
                    level.touches += change
                    level.now = None

    def _partner(self, start: Touch, closes: CloseWindow) -> Touch | None:
        """The newest earlier pivot whose wick overlaps, without too many crossings between."""
        least, most = start.widest_low, start.widest_high
        limit = self.parameters.broken_cross_count
        for other in [
            one
            for one in reversed(self.pivots[:-1])
            if one.widest_low <= most and one.widest_high >= least
        ]:
            high, low = min(start.high, other.high), max(start.low, other.low)
            line = high if self.kind == RESISTANCE else low
            near = self._tolerance(start, other, line)
            if low <= high + near:
                between = Crossings(other.ordinal + 1, other.ordinal + 1)
                zone = {"low": line - near, "high": line + near}
                closes.search(between, start.ordinal, **zone, limit=limit + 1)
                if len(between.found) <= limit:
                    return other
        return None

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
            kind=self.kind,
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


def _near_without_range(level: Level) -> float:
    """How far from the level's band a pivot without any true range may lie."""
    return tolerance(0, 0, (level.band_low + level.band_high) / 2, part=0)
