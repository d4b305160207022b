"""Playing a stream as docs/replay.md describes it."""

from __future__ import annotations

import orjson

from overlays.replay.tests.asked import Slices
from overlays.replay.tests.states import pruned


def parsed(content):
    """The lines of a whole answer, which must have its end."""
    lines = [orjson.loads(line) for line in content.splitlines()]
    assert lines[0]["type"] == "start"
    assert lines[-1]["type"] in ("end", "revised", "error")
    return lines


class Stage:
    """One series on the stage of a player, at one bar."""

    def __init__(self, standing, window):
        self.series_id = standing["series_id"]
        self.step = standing["timeframe_s"]
        self.reach = window * self.step
        self.time = standing["time"]
        self.drawn = {each["instruction_id"]: each["definition"] for each in standing["draw"]}
        self.points = {name: dict(map(tuple, at)) for name, at in standing["points"].items()}
        self.factors = standing.get("factors", {})

    def state(self):
        """Definitions, points and slices, as a frame has them."""
        drawn = pruned(self.points, self.drawn, max(0, self.time - self.reach))
        points = {name: list(map(list, at)) for name, at in drawn.items()}
        return [self.drawn, points, self.factors]

    def bars(self, part):
        """Move over the bars of a line; the stage after each."""
        changes = {each["at"]: each for each in part["changes"]}
        slices = Slices(
            {"factor_base": self.factors, "factor_changes": part.get("factor_changes", [])}
        )
        for place, time in enumerate(part["candles"]["time"]):
            change = changes.get(place, {})
            for name in change.get("remove", ()):
                del self.drawn[name]
            for each in change.get("draw", ()):
                self.drawn[each["instruction_id"]] = each["definition"]
            for name, value in change.get("points", {}).items():
                self.points.setdefault(name, {})[time] = value
            self.time, self.factors = time, slices.at(time)
            yield self


def played(lines):
    """The stages of all series after each bar, as (clock, stage), in the order of the clock."""
    start = lines[0]
    stages = [Stage(each, start["window_candles"]) for each in start["series"]]
    for stage in stages:
        if stage.time is not None:
            yield start["clock"], stage
    before = start["clock"]
    for line in lines[1:]:
        if line["type"] != "window":
            continue
        closes = sorted(
            (time + stage.step, place)
            for place, (stage, part) in enumerate(zip(stages, line["series"], strict=True))
            for time in part["candles"]["time"]
        )
        assert all(before < close <= line["clock"] for close, _ in closes)
        before = line["clock"]
        moving = [stage.bars(part) for stage, part in zip(stages, line["series"], strict=True)]
        for close, place in closes:
            stage = next(moving[place])
            assert stage.time + stage.step == close
            yield close, stage
