"""The state of a series at a bar in one form, from a walk and from a frame."""

from __future__ import annotations

import orjson

from factors.lazy_json import as_json
from overlays.domain.tests.applied import apply_delta


def plain(value):
    """A value as it is after JSON."""
    return orjson.loads(as_json(value))


def walked(walk, to_time, step):
    """The time and state where a walk stands, first and after every `step` bars."""
    points = {name: dict(at) for name, at in walk.points.items()}
    if walk.time is not None:
        yield walk.time, of_walk(walk, points, walk.time)
    while bars := walk.advance(to_time, step):
        for bar in bars:
            for point in bar.drawn.points:
                points.setdefault(point.instruction_id, {})[point.visible_time] = point.definition[
                    "value"
                ]
        yield walk.time, of_walk(walk, points, walk.time)


def of_walk(walk, points, time):
    """Definitions and points by id, and slices by factor, where a walk stands."""
    cutoff = walk.drawn.cutoff(time)
    shown = {name: version.definition for name, version in walk.drawn.shown.items()}
    slices = {
        name: {"history": seen.history, "head": seen.head}
        for name, seen in walk.factors.shown.items()
    }
    return plain([shown, pruned(points, shown, cutoff), slices])


def pruned(points, shown, cutoff):
    """The points that a window shows of the lines in it."""
    found = {}
    for name, definition in shown.items():
        if definition["type"] == "line":
            start = max(cutoff, definition["start"])
            at = points.get(name, {})
            found[name] = sorted((time, at[time]) for time in at if time >= start)
    return found


def framed(reads, series, time, window):
    """The same of a frame."""
    frame = plain(reads.frame_at(series, time, window=window).body)
    catalog, points = {}, {}
    delta = frame["draw_state"]
    apply_delta(delta, catalog, points)
    shown = {name: catalog[name] for name in delta["active_ids"]}
    cutoff = max(0, time - window * series.timeframe.seconds)
    slices = {
        name: {"history": seen["history"], "head": seen["head"]}
        for name, seen in frame["factor_slices"]["snapshots"].items()
    }
    return plain([shown, pruned(points, shown, cutoff), slices])
