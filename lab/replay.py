"""Playing a replay as docs/replay.md describes it: what a client shows at each bar.

A state is a list of three: definitions of drawings by id, points of lines by id, and slices of
factors by name. States of a stream, of a package and of a frame can be compared.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

Object = dict[str, Any]
State = list[Any]
# Values of lines by id and time.
Points = dict[str, dict[int, Any]]


def pruned(points: Points, shown: Mapping[str, Object], cutoff: int) -> dict[str, list[list[Any]]]:
    """The points from `cutoff` on of the lines among what is shown."""
    found = {}
    for name, definition in shown.items():
        if definition["type"] == "line":
            start = max(cutoff, definition["start"])
            at = points.get(name, {})
            found[name] = sorted([time, at[time]] for time in at if time >= start)
    return found


def state_of_frame(frame: Object, reach: int) -> State:
    """The state that a whole frame has, whose window reaches back so many seconds."""
    delta = frame["draw_state"]
    catalog = {
        each["instruction_id"]: each["definition"] for each in delta["instruction_catalog_patch"]
    }
    points = {name: dict(map(tuple, at)) for name, at in delta["series_points"].items()}
    shown = {name: catalog[name] for name in delta["active_ids"]}
    slices = {
        name: {"history": seen["history"], "head": seen["head"]}
        for name, seen in frame["factor_slices"]["snapshots"].items()
    }
    cutoff = max(0, frame["time"]["aligned_time"] - reach)
    return [shown, pruned(points, shown, cutoff), slices]


class Slices:
    """The slices of factors, from their base and the changes of each bar."""

    def __init__(self, base: Object, changes: Iterable[Object]) -> None:
        self._seen = base
        self._changes = iter(changes)
        self._next = next(self._changes, None)

    def at(self, time: int) -> Object:
        """The slices at a bar; bars must come in order."""
        while self._next is not None and self._next["candle_time"] <= time:
            self._apply(self._next)
            self._next = next(self._changes, None)
        return dict(self._seen)

    def _apply(self, row: Object) -> None:
        name = row["factor_name"]
        if row.get("gone"):
            self._seen = {key: each for key, each in self._seen.items() if key != name}
            return
        before = self._seen.get(name, {"history": {}, "head": {}})
        history = dict(before["history"])
        for key, splices in row.get("history", {}).items():
            history[key] = list(history.get(key, ()))
            for start, deleted, items in splices:
                history[key][start : start + deleted] = items
        head = before["head"]
        if "head" in row:
            head = row["head"]
        elif "head_of" in row:
            newest = history[row["head_of"]][-1]
            head = {key: value for key, value in newest.items() if key != "visible_time"}
        for path, value in row.get("head_set", ()):
            head = _with_value(head, path, value)
        self._seen = self._seen | {name: {"history": history, "head": head}}


def _with_value(value: Any, path: Sequence[Any], new: Any) -> Any:
    if not path:
        return new
    copied = value.copy()
    copied[path[0]] = _with_value(copied[path[0]], path[1:], new)
    return copied


# Packages


def states_of(found: Object, reach: int) -> Iterator[tuple[Object, State]]:
    """The candle and the state at each bar of a window of a package, read with factors=changes.

    `reach` is how far back each bar shows drawings, in seconds.
    """
    shown = found["window"]
    catalog = {each["instruction_id"]: each["definition"] for each in shown["draw_catalog_base"]}
    points: Points = {
        name: dict(map(tuple, held)) for name, held in shown["draw_points_base"].items()
    }
    grown = {each["at_idx"]: each["points"] for each in shown["draw_points"]}
    patch = iter(shown["draw_catalog_patch"])
    version = next(patch, None)
    slices = Slices(found["factor_base"], found["factor_changes"])
    for place, candle in enumerate(shown["kline"], shown["start_idx"]):
        time = candle["time"]
        while version is not None and version["visible_time"] <= time:
            catalog[version["instruction_id"]] = version["definition"]
            version = next(patch, None)
        for name, value in grown.get(place, {}).items():
            points.setdefault(name, {})[time] = value
        active = {name: catalog[name] for name in active_at(shown, place)}
        yield candle, [active, pruned(points, active, max(0, time - reach)), slices.at(time)]


def active_at(window: Object, place: int) -> list[str]:
    """The ids that a window of a package shows at a bar."""
    checkpoint = [each for each in window["draw_active_checkpoints"] if each["at_idx"] <= place][-1]
    active = set(checkpoint["active_ids"])
    for diff in window["draw_active_diffs"]:
        if checkpoint["at_idx"] < diff["at_idx"] <= place:
            active = (active - set(diff["remove_ids"])) | set(diff["add_ids"])
    return sorted(active)


# Streams


class Stage:
    """One series of a stream at one bar; `time` is None before its first candle."""

    def __init__(self, standing: Object, window: int) -> None:
        self.series_id: str = standing["series_id"]
        self.step: int = standing["timeframe_s"]
        self.time: int | None = standing["time"]
        self.candle = _candles(standing["candles"])[-1] if self.time is not None else None
        self._reach = window * self.step
        self._drawn = {each["instruction_id"]: each["definition"] for each in standing["draw"]}
        self._points: Points = {
            name: dict(map(tuple, at)) for name, at in standing["points"].items()
        }
        self._factors: Object = standing.get("factors", {})

    def closes(self, columns: Mapping[str, Sequence[int]]) -> Sequence[int]:
        """When each candle of a line has closed, which differs for months and days of a zone."""
        return columns.get("close_time") or [time + self.step for time in columns["time"]]

    def state(self) -> State:
        """What is shown at the bar, as a frame has it."""
        cutoff = max(0, (self.time or 0) - self._reach)
        return [dict(self._drawn), pruned(self._points, self._drawn, cutoff), self._factors]

    def bars(self, part: Object) -> Iterator[Stage]:
        """Move over the bars of a line; the stage after each."""
        changes = {each["at"]: each for each in part["changes"]}
        slices = Slices(self._factors, part.get("factor_changes", ()))
        for place, candle in enumerate(_candles(part["candles"])):
            time, change = candle["time"], changes.get(place, {})
            for name in change.get("remove", ()):
                del self._drawn[name]
            for each in change.get("draw", ()):
                self._drawn[each["instruction_id"]] = each["definition"]
            for name, value in change.get("points", {}).items():
                self._points.setdefault(name, {})[time] = value
            self.time, self.candle, self._factors = time, candle, slices.at(time)
            yield self


def played(lines: Sequence[Object]) -> Iterator[tuple[int, Stage]]:
    """The clock, and the stage of the series that closed then, bar after bar of all series.

    First that of each series at the start line. Raises AssertionError for a bar that is shown
    before it had closed, or after its turn.
    """
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
            (close, place)
            for place, (stage, part) in enumerate(zip(stages, line["series"], strict=True))
            for close in stage.closes(part["candles"])
        )
        assert all(before < close <= line["clock"] for close, _ in closes)
        before = line["clock"]
        moving = [stage.bars(part) for stage, part in zip(stages, line["series"], strict=True)]
        for close, place in closes:
            stage = next(moving[place])
            assert stage.time is not None and stage.time < close <= stage.time + stage.step
            yield close, stage


def _candles(columns: Mapping[str, Sequence[Any]]) -> list[Object]:
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
