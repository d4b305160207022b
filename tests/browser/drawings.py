"""The drawings expected on the chart, and those that are on it.

The expectation is computed from the API's answers alone, in another way than on the page: by times
and prices instead of positions among the candles.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Instruction = Mapping[str, Any]
Point = tuple[float, float]

Look = Mapping[str, Any]
Looks = Mapping[str, Mapping[str, Any]]
"""What the catalog has about each feature, by key."""


@dataclass(frozen=True)
class Marker:
    feature_look: tuple[Any, ...]
    time: int


@dataclass(frozen=True)
class Line:
    feature: str
    look: tuple[str, float, bool]
    """Colour, width, dashed."""
    points: tuple[Point, ...]


@dataclass(frozen=True)
class Zone:
    left: float
    right: float
    top: float
    bottom: float


Shapes = dict[str, Marker | Line | Zone]


@dataclass(frozen=True)
class Candles:
    """The candles on the chart, without gaps. Unix seconds."""

    first: int
    last: int
    step: int


def definitions(draw_state: Mapping[str, Any]) -> dict[str, Instruction]:
    """The newest definition of every active instruction of a cursor 0 answer."""
    active = set(draw_state["active_ids"])
    newest: dict[str, Instruction] = {}
    for version in draw_state["instruction_catalog_patch"]:
        if version["instruction_id"] in active:
            newest[version["instruction_id"]] = version["definition"]
    assert set(newest) == active, "an active instruction came without its definition"
    return newest


def look_of(key: str, definition: Instruction, looks: Looks) -> Look:
    """The look of an instruction: its feature's, and what its variant has on top."""
    feature = definition["feature"]
    known = looks.get(feature, {})
    words = key.removeprefix(feature).split(":")
    variant = words[1] if len(words) > 1 else ""
    return {**known.get("look", {}), **known.get("variants", {}).get(variant, {})}


def expected(
    drawn: Mapping[str, Instruction],
    candles: Candles,
    features: Collection[str],
    looks: Looks,
) -> Shapes:
    """What must be on the chart while exactly `features` are switched on.

    Of the kinds that the factors of ours use.
    """
    shown = {key: each for key, each in drawn.items() if each["feature"] in features}
    shapes: Shapes = {}
    for key, definition in shown.items():
        look = look_of(key, definition, looks)
        if definition["type"] == "marker":
            if candles.first <= definition["time"] <= candles.last:
                shapes[key] = Marker(_mark(definition), definition["time"])
        elif len(points := _points(definition, candles, look)) > 1:
            shapes[key] = Line(definition["feature"], _stroke(definition, look), points)
    return shapes | _zones(shapes, shown, looks)


def _mark(shape: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(shape[name] for name in ("position", "color", "shape", "text", "size"))


def _stroke(definition: Instruction, look: Look) -> tuple[str, float, bool]:
    dashed = definition.get("lineStyle") == "dashed" or look.get("dashed", False)
    width = look.get("width", max(1, min(4, definition["lineWidth"])))
    return look.get("color", definition["color"]), float(width), dashed


def _points(definition: Instruction, candles: Candles, look: Look) -> tuple[Point, ...]:
    points = [(float(point["time"]), float(point["value"])) for point in definition["points"]]
    if definition.get("extendRight") and points[-1][0] < candles.last:
        points.append((float(candles.last), points[-1][1]))
    if not look.get("unclipped"):
        points = _between(points, candles.first, candles.last)
    return rounded(points)


def _between(points: Sequence[Point], first: float, last: float) -> list[Point]:
    """The part of a line from one time to another."""
    if points[-1][0] < first or points[0][0] > last:
        return []
    ends = [max(first, points[0][0]), min(last, points[-1][0])]
    inside = [point for point in points if ends[0] < point[0] < ends[1]]
    return [(ends[0], _price(points, ends[0])), *inside, (ends[1], _price(points, ends[1]))]


def _price(points: Sequence[Point], time: float) -> float:
    for (before, low), (after, high) in zip(points, points[1:], strict=False):
        if before <= time <= after:
            share = (time - before) / (after - before) if after > before else 0.0
            return low + (high - low) * share
    raise AssertionError(f"{time} is not on the line")


def _zones(shapes: Shapes, shown: Mapping[str, Instruction], looks: Looks) -> Shapes:
    """The areas between the lines that a look names as edges."""
    zones: Shapes = {}
    for key, top in shapes.items():
        if not isinstance(top, Line):
            continue
        area = look_of(key, shown[key], looks).get("area")
        stem, _, edge = key.rpartition(":")
        if area is None or edge != area[0]:
            continue
        bottom = shapes[f"{stem}:{area[1]}"]
        assert isinstance(bottom, Line)
        (left, upper), (right, _) = top.points[0], top.points[-1]
        zones[f"zone {stem}"] = Zone(left, right, upper, bottom.points[0][1])
    return zones


def held(scene: Mapping[str, Any], candles: Candles) -> Shapes:
    """What is on the chart, read back from it; no id may occur twice."""
    shapes: list[tuple[str, Marker | Line | Zone]] = [
        (marker["id"], Marker(_mark(marker), round(_time(marker["index"], candles))))
        for marker in scene["markers"]
    ]
    for line in scene["lines"]:
        points = [(_time(place["index"], candles), place["price"]) for place in line["places"]]
        stroke = (line["color"], float(line["width"]), line["dashed"])
        shapes.append((line["id"], Line(line["feature"], stroke, rounded(points))))
    for box in scene["boxes"]:
        left, right = (_time(box[name], candles) for name in ("from", "to"))
        [(left, top), (right, bottom)] = rounded([(left, box["top"]), (right, box["bottom"])])
        shapes.append((f"zone {box['id']}", Zone(left, right, top, bottom)))
    assert len(dict(shapes)) == len(shapes), "a drawing is on the chart twice"
    return dict(shapes)


def _time(index: float, candles: Candles) -> float:
    return candles.first + index * candles.step


def rounded(points: Iterable[Point]) -> tuple[Point, ...]:
    """Points without the noise of floating point arithmetic."""
    return tuple((round(time, 3), round(price, 6)) for time, price in points)
