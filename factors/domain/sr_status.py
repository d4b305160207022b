"""The status of levels at a moment: judged by the closes, and merged where two are one price.

Between two snapshots hardly a status changes. So a level is judged again only when its status may
have changed, and levels are merged again only around one that came, went, broke or revived. Factor
contract, 11.4.
"""

from __future__ import annotations

from itertools import chain
from math import inf
from operator import attrgetter
from typing import NamedTuple

from factors.domain.sr_closes import CloseWindow, Crossings
from factors.domain.sr_levels import (
    ACTIVE,
    BROKEN,
    BROKEN_DUPLICATE,
    DUPLICATE,
    FLIP,
    PRICE_RANGE,
    TINY,
    Level,
    Side,
)

# The true range goes up and down: the crossings of an earlier judgement often hold again.
KEPT_CROSSINGS = 8

# More than sums of prices are off by rounding.
ROUNDING = 1e-12
FARTHEST = 1e300

PLACE = attrgetter("place")
START = attrgetter("start.ordinal")


class Moment(NamedTuple):
    """What a judgement sees: closes before ordinal `end` and the newest of them.

    A close within `near` of a level does not count; None without any true range. `lowest` and
    `highest` are of the closes since the moment before.
    """

    closes: CloseWindow
    end: int
    last_close: float
    near: float | None
    lowest: float
    highest: float


def judged_levels(side: Side, moment: Moment) -> list[Level]:
    """Judge the levels and merge those of one price; in the order of the contract's list."""
    if moment.near is None:
        side.to_merge = [level for level in side.levels if level is not None]
    else:
        _judge_changing(side, moment, near=moment.near)
    if side.to_merge:
        _merge(side, moment)
    for level in side.listed:
        if level.status == FLIP:
            near = _near(side, level, moment)
            flip_dir = None
            if moment.last_close > level.line + near:
                flip_dir = "up"
            elif moment.last_close < level.line - near:
                flip_dir = "down"
            if flip_dir != level.flip_dir:
                level.flip_dir, level.now = flip_dir, None
    return side.listed


def _judge_changing(side: Side, moment: Moment, *, near: float) -> None:
    """Judge what may have changed; have merged again whatever broke or revived."""
    lowest, highest = moment.lowest, moment.highest
    # Not by a function of the level: there are many levels, and nearly all are skipped.
    for level in [
        one
        for one in side.listed
        if not one.valid_near_from <= near <= one.valid_near_to
        or highest > one.valid_high
        or lowest < one.valid_low
    ]:
        was_broken = level.status == BROKEN
        _judge(side, level, moment, near=near)
        if was_broken != (level.status == BROKEN):
            side.to_merge.append(level)
    for level in [one for one in side.broken_duplicates if near > one.broken_within]:
        _judge(side, level, moment, near=near)
        if level.status != BROKEN:
            side.to_merge.append(level)


def _merge(side: Side, moment: Moment) -> None:
    """Find again which levels are listed, among those to merge and all connected with them."""
    for level in _connected(side.to_merge):
        level.place = DUPLICATE
        same = max(level.newer, key=PLACE, default=None)
        near = _near(side, level, moment)
        if same is None or same.place < 0:
            if not (
                level.valid_near_from <= near <= level.valid_near_to
                and moment.highest <= level.valid_high
                and moment.lowest >= level.valid_low
            ):
                _judge(side, level, moment, near=near)
            level.place = level.start.ordinal
        elif same.status == BROKEN:
            # Closes that broke the level beyond a wider zone broke it beyond this one, too.
            is_known = near <= level.broken_within
            if not is_known:
                _judge(side, level, moment, near=near)
            if is_known or level.status == BROKEN:
                level.place = BROKEN_DUPLICATE
            else:
                level.place, same.place = same.place, BROKEN_DUPLICATE
        elif level.status != BROKEN:
            # Its status is not followed from now on.
            level.valid_near_from = inf
    levels = [level for level in side.levels if level is not None]
    side.listed = [level for level in levels if level.place >= 0]
    side.listed.sort(key=PLACE, reverse=True)
    side.broken_duplicates = [level for level in levels if level.place == BROKEN_DUPLICATE]
    side.to_merge = []


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


def _near(side: Side, level: Level, moment: Moment) -> float:
    """How far from the level a close must be to count."""
    if moment.near is not None:
        return moment.near
    return side.parameters.tolerance_atr * max(abs(level.line) * PRICE_RANGE, TINY)


def _judge(side: Side, level: Level, moment: Moment, *, near: float) -> None:
    """Set the status by the closes since the level's start."""
    low, high = level.line - near, level.line + near
    limit = side.parameters.broken_cross_count
    crossings = next((each for each in level.crossings if each.holds(low, high)), None)
    if crossings is None:
        start = level.start.ordinal + 1
        crossings = Crossings(start, start)
        level.crossings = [crossings, *level.crossings[: KEPT_CROSSINGS - 1]]
    found = crossings.found
    if len(found) < limit:
        moment.closes.search(crossings, moment.end, low=low, high=high, limit=limit)
    least, most = _valid_near(level, crossings, near)
    if len(found) < limit:
        _set(level, FLIP if found else ACTIVE, found[-1] if found else None)
        level.valid_low = crossings.low_from if crossings.seeks_below else -inf
        level.valid_high = crossings.high_from if crossings.seeks_above else inf
    else:
        # A wider zone is never crossed earlier: what broke the level in two zones broke it in all
        # between.
        if level.status == BROKEN and level.death_idx == found[-1]:
            least, most = min(least, level.valid_near_from), max(most, level.valid_near_to)
        _set(level, BROKEN, found[-1])
        level.valid_low, level.valid_high = -inf, inf
        level.broken_within = max(level.broken_within, most)
    level.valid_near_from, level.valid_near_to = least, most


def _valid_near(level: Level, crossings: Crossings, near: float) -> tuple[float, float]:
    """The least and the greatest `near` for which the crossings surely hold; they do for `near`."""
    line = level.line
    least = max(crossings.high_from - line, line - crossings.low_from, 0.0)
    most = min(crossings.high_to - line, line - crossings.low_to, FARTHEST)
    least += ROUNDING * (abs(line) + least)
    most -= ROUNDING * (abs(line) + most)
    return min(least, near), max(most, near)


def _set(level: Level, status: str, death_idx: int | None) -> None:
    if level.status != status or level.death_idx != death_idx:
        level.status, level.death_idx, level.now = status, death_idx, None
        if status != FLIP:
            level.flip_dir = None
