"""The draw delta: what is to be drawn at a candle, and the versions that a cursor lacks.

Defined in the overlay contract, section 5, and the HTTP contract, section 5.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from market.domain.series import SeriesId
from overlays.domain.instruction import LINE, POINT, InstructionVersion, Point
from overlays.domain.versions import NEVER, VersionReader

SCHEMA_VERSION = 1

PATCH_LIMIT = 50_000
"""Most versions and points in one answer."""

FRESH_LIMIT = 1_000
"""A client without any version that lacks more than this gets only those it can draw.

A long series has some hundred times as many versions as its window shows.
"""


class DrawDelta(NamedTuple):
    """What a client needs to draw the candle at `to_time`, beyond the versions up to its cursor.

    `to_time` is None when there is no candle to draw for; then there is nothing else either.
    `points` holds what lines gained, by id. `is_whole`: there is nothing behind `next_cursor`.
    """

    to_time: int | None
    active_ids: Sequence[str]
    patch: Sequence[InstructionVersion]
    points: Mapping[str, Sequence[Point]]
    next_cursor: int
    is_whole: bool = True

    def as_object(self, series: SeriesId) -> dict[str, Any]:
        """The delta in its wire format."""
        time = self.to_time
        return {
            "schema_version": SCHEMA_VERSION,
            "series_id": str(series),
            "to_candle_id": None if time is None else series.candle_id(time),
            "to_candle_time": time,
            "active_ids": list(self.active_ids),
            "instruction_catalog_patch": [version.as_object() for version in self.patch],
            "series_points": self.points,
            "next_cursor": {"version_id": self.next_cursor, "point_time": None},
        }


def nothing(cursor: int) -> DrawDelta:
    """The delta of a series without a candle to draw for; the cursor stays."""
    return DrawDelta(None, (), (), {}, cursor)


def draw_delta(
    versions: VersionReader,
    *,
    cursor: int,
    to_time: int,
    cutoff: int,
    limit: int = PATCH_LIMIT,
    fresh_limit: int = FRESH_LIMIT,
) -> DrawDelta:
    """The delta at the candle `to_time` for a client that has everything up to `cursor`.

    Versions that appeared after `to_time` take no part, so the answer for a candle is the same
    whenever it is asked. The next cursor is the greatest number visible at `to_time`, or the last
    one sent when there are more than `limit`: a cursor never skips. A client that has nothing yet
    (cursor 0) and lacks more than `fresh_limit` versions gets the newest ones of what the window
    shows instead, which is all it can draw, and goes on from the greatest number too.
    """
    newest = list(versions.newest(to_time, cutoff=cutoff))
    # In code point order. A drawing is shown when the times it covers meet the window, even if no
    # point of it lies inside.
    shown = tuple(sorted(version.instruction_id for version in newest))
    allowed = fresh_limit if cursor == 0 else limit
    if cursor == 0 and versions.count_after(cursor, to_time, limit=allowed + 1) > allowed:
        newest.sort(key=lambda version: version.version_id)
        points = _points_in(versions, newest, to_time=to_time, cutoff=cutoff)
        return DrawDelta(to_time, shown, newest, points, versions.greatest_id(to_time))
    # With the last one that the client has: it shows whether a candle is continued.
    found = list(versions.after(max(0, cursor - 1), to_time, limit=allowed + 2))
    last = found.pop(0) if found and found[0].version_id == cursor else None
    found = found[: allowed + 1]
    is_whole = len(found) <= allowed
    next_cursor = versions.greatest_id(to_time) if is_whole else found[limit - 1].version_id
    patch, points = parted(found if is_whole else found[:limit])
    if last is not None and patch and patch[0].visible_time == last.visible_time:
        _repeat_points(versions, patch, points, cursor=cursor)
    return DrawDelta(to_time, shown, patch, points, next_cursor, is_whole)


def parted(
    given: Iterable[InstructionVersion],
) -> tuple[list[InstructionVersion], dict[str, list[Point]]]:
    """The versions of instructions, and the points among them by line."""
    given = tuple(given)
    patch = [version for version in given if version.kind != POINT]
    return patch, _by_line(version for version in given if version.kind == POINT)


def _repeat_points(
    versions: VersionReader,
    patch: Sequence[InstructionVersion],
    points: dict[str, list[Point]],
    *,
    cursor: int,
) -> None:
    """Add again what a line gained with its definition, when the cursor lies between the two.

    A definition removes the points of its line from its own candle on, as far as a client has them.
    """
    time = patch[0].visible_time
    defined = {each.instruction_id for each in patch if each.visible_time == time}
    for point in versions.points(time, cutoff=time):
        if point.instruction_id in defined and point.version_id <= cursor:
            points.setdefault(point.instruction_id, []).insert(0, (time, point.definition["value"]))


def _points_in(
    versions: VersionReader, newest: Sequence[InstructionVersion], *, to_time: int, cutoff: int
) -> dict[str, list[Point]]:
    """The points of the lines in a window; a line that was withdrawn may have begun anew."""
    starts = {
        version.instruction_id: version.definition["start"]
        for version in newest
        if version.kind == LINE
    }
    if not starts:
        return {}
    return _by_line(
        point
        for point in versions.points(to_time, cutoff=cutoff)
        if point.visible_time >= starts.get(point.instruction_id, NEVER)
    )


def _by_line(points: Iterable[InstructionVersion]) -> dict[str, list[Point]]:
    found: dict[str, list[Point]] = {}
    for _, name, _, time, definition in points:
        found.setdefault(name, []).append((time, definition["value"]))
    return found
