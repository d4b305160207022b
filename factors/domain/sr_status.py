"""Which levels of a kind stand at a moment: judged by the closes, and merged where they are one.

Between two snapshots hardly a status changes. So nothing is judged again that can't have changed,
and levels are merged anew only around one that came, went, broke or revived. Factor contract, 11.4.
"""

from __future__ import annotations

from itertools import chain
from math import inf
from operator import attrgetter
from typing import NamedTuple

from factors.domain.sr_closes import CloseWindow, Walk
from factors.domain.sr_levels import (
    ACTIVE,
    BEHIND,
    BROKEN,
    FLIP,
    HIDDEN,
    PRICE_RANGE,
    TINY,
    Level,
    Side,
)

# The true range goes up and down: a walk of some judgements ago often holds again.
KEPT_WALKS = 8

# What sums of prices are off by rounding, and much more.
ROUNDING = 1e-12
FARTHEST = 1e300

PLACE = attrgetter("place")
START = attrgetter("start.ordinal")


class Moment(NamedTuple):
    """What a judgement sees: closes before ordinal `end` and the newest of them.

    A close within `near` of a level says nothing; None without any true range. `lowest` and
    `highest` are of the closes since the moment before.
    """

    closes: CloseWindow
    end: int
    last_close: float
    near: float | None
    lowest: float
    highest: float


def stand(side: Side, moment: Moment) -> list[Level]:
    """Judge the levels and merge those of one price; in the order of the contract's list."""
    if moment.near is None:
        side.unmerged = [level for level in side.levels if level is not None]
    else:
        _judge_changing(side, moment, near=moment.near)
    if side.unmerged:
        _merge(side, moment)
    for level in side.standing:
        if level.status == FLIP:
            _point(level, moment.last_close, near=_near(side, level, moment))
    return side.standing


def _judge_changing(side: Side, moment: Moment, *, near: float) -> None:
    """Judge what may have changed; have merged whatever broke or is broken no more."""
    lowest, highest = moment.lowest, moment.highest
    for level in [
        one
        for one in side.standing
        if not one.calm_from <= near <= one.calm_to
        or highest > one.calm_high
        or lowest < one.calm_low
    ]:
        was_broken = level.status == BROKEN
        _judge(side, level, moment, near=near)
        if was_broken != (level.status == BROKEN):
            side.unmerged.append(level)
    for level in [one for one in side.behind if near > one.broken_to]:
        _judge(side, level, moment, near=near)
        if level.status != BROKEN:
            side.unmerged.append(level)


def _merge(side: Side, moment: Moment) -> None:
    """Find anew who stands among the unmerged levels and all they are connected with."""
    for level in _connected(side.unmerged):
        level.place = HIDDEN
        same = max(level.newer, key=PLACE, default=None)
        near = _near(side, level, moment)
        if same is None or same.place < 0:
            if not _is_calm(level, moment, near=near):
                _judge(side, level, moment, near=near)
            level.place = level.start.ordinal
        elif same.status == BROKEN:
            if _broken_of(side, level, same, moment=moment, near=near) is same:
                level.place, same.place = same.place, BEHIND
            else:
                level.place = BEHIND
        elif level.status != BROKEN:
            # Nobody watches it from now on.
            level.calm_from = inf
    levels = [level for level in side.levels if level is not None]
    side.standing = [level for level in levels if level.place >= 0]
    side.standing.sort(key=PLACE, reverse=True)
    side.behind = [level for level in levels if level.place == BEHIND]
    side.unmerged = []


def _connected(levels: list[Level]) -> list[Level]:
    """These levels and all that count as the same price as one of them, and so on; newest first."""
    found, todo = set(levels), list(levels)
    while todo:
        level = todo.pop()
        for other in chain(level.newer, level.older):
            if other not in found:
                found.add(other)
                todo.append(other)
    return sorted(found, key=START, reverse=True)


def _broken_of(side: Side, level: Level, same: Level, *, moment: Moment, near: float) -> Level:
    """Which of two of one price goes behind: the older one, if it is broken like the newer."""
    # Closes that broke it beyond a wider zone broke it beyond this one, too.
    if near <= level.broken_to:
        return level
    _judge(side, level, moment, near=near)
    return level if level.status == BROKEN else same


def _is_calm(level: Level, moment: Moment, *, near: float) -> bool:
    return (
        level.calm_from <= near <= level.calm_to
        and moment.highest <= level.calm_high
        and moment.lowest >= level.calm_low
    )


def _near(side: Side, level: Level, moment: Moment) -> float:
    """How far from the level a close says something about it."""
    if moment.near is not None:
        return moment.near
    return side.parameters.tolerance_atr * max(abs(level.line) * PRICE_RANGE, TINY)


def _judge(side: Side, level: Level, moment: Moment, *, near: float) -> None:
    """Set the status: what the closes since the level's start did to it."""
    low, high = level.line - near, level.line + near
    limit = side.parameters.broken_cross_count
    walk = _walk(level, low, high)
    if len(walk.turns) < limit:
        moment.closes.follow(walk, moment.end, low=low, high=high, limit=limit)
    if len(walk.turns) == limit:
        _broke(level, walk, near)
    else:
        _lives(level, walk, near)


def _walk(level: Level, low: float, high: float) -> Walk:
    """The walk that holds for these prices, or a new one in place of the oldest kept."""
    for walk in level.walks:
        if walk.holds(low, high):
            return walk
    start = level.start.ordinal + 1
    level.walks = [Walk(start, start), *level.walks[: KEPT_WALKS - 1]]
    return level.walks[0]


def _broke(level: Level, walk: Walk, near: float) -> None:
    """Note that a level is broken, and for which zones the same close is known to have done it.

    A wider zone is never crossed earlier: what did it in two zones did it in all between.
    """
    least, most = _reach(level, walk, near)
    if level.status == BROKEN and level.death_idx == walk.turns[-1]:
        least, most = min(least, level.calm_from), max(most, level.calm_to)
    _set(level, BROKEN, walk.turns[-1])
    level.calm_from, level.calm_to = least, most
    level.calm_low, level.calm_high = -inf, inf
    level.broken_to = max(level.broken_to, most)


def _lives(level: Level, walk: Walk, near: float) -> None:
    """Note that a level is not broken, and what leaves its walk as it is."""
    turns = walk.turns
    _set(level, FLIP if turns else ACTIVE, turns[-1] if turns else None)
    level.calm_from, level.calm_to = _reach(level, walk, near)
    level.calm_low = walk.low_from if walk.seeks_below else -inf
    level.calm_high = walk.high_from if walk.seeks_above else inf


def _reach(level: Level, walk: Walk, near: float) -> tuple[float, float]:
    """The least and the greatest nearness for which the walk surely holds; it does for `near`."""
    line = level.line
    least = max(walk.high_from - line, line - walk.low_from, 0.0)
    most = min(walk.high_to - line, line - walk.low_to, FARTHEST)
    least += ROUNDING * (abs(line) + least)
    most -= ROUNDING * (abs(line) + most)
    return min(least, near), max(most, near)


def _set(level: Level, status: str, death_idx: int | None) -> None:
    if level.status != status or level.death_idx != death_idx:
        level.status, level.death_idx, level.now = status, death_idx, None
        if status != FLIP:
            level.flip_dir = None


def _point(level: Level, last_close: float, *, near: float) -> None:
    """Set the direction of a flip."""
    flip_dir = None
    if last_close > level.line + near:
        flip_dir = "up"
    elif last_close < level.line - near:
        flip_dir = "down"
    if flip_dir != level.flip_dir:
        level.flip_dir, level.now = flip_dir, None
