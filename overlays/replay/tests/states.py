"""The state of a series at a bar in one form, from a walk and from a frame."""

from __future__ import annotations

import orjson

from factors.lazy_json import as_json
from lab.replay import pruned, state_of_frame


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


def framed(reads, series, time, window):
    """The same of a frame."""
    frame = plain(reads.frame_at(series, time, window=window).body)
    return state_of_frame(frame, window * series.timeframe.seconds)
