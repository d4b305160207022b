"""Draw instructions: the drawable form of facts.

Defined in the overlay contract, sections 1 to 4, and for boxes, labels and lines in
docs/drawings.md. A definition is a plain mapping ready for JSON; it is shared, so it must never be
changed. A colour is a CSS colour, or the name of an ink, which each theme shows in its own shade.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

Kind = Literal["marker", "polyline", "box", "label", "line", "point"]
Position = Literal["aboveBar", "belowBar"]
Shape = Literal["circle", "arrowUp", "arrowDown"]
Place = Literal["above", "center", "below"]
Definition = Mapping[str, Any]
Point = tuple[int, float]
"""An open time (Unix seconds) and a price."""

MARKER: Kind = "marker"
POLYLINE: Kind = "polyline"
BOX: Kind = "box"
LABEL: Kind = "label"
LINE: Kind = "line"

POINT: Kind = "point"
"""Not an instruction: a new point of a line, at the candle with which it became visible."""

WITHDRAWN: Definition = {}
"""The definition that ends an instruction: from this version on there is nothing to draw."""


class Span(NamedTuple):
    """From when to when a drawing reaches (open times); `end` None: to the newest candle."""

    start: int
    end: int | None

    def meets(self, start: int, end: int) -> bool:
        """Whether any part of it lies between two times, both inclusive."""
        return self.start <= end and (self.end is None or self.end >= start)


class Change(NamedTuple):
    """A new version of an instruction, before the ledger has given it a number.

    `visible_time` is the open time of the candle with which it appeared.
    """

    instruction_id: str
    kind: Kind
    visible_time: int
    definition: Definition


class InstructionVersion(NamedTuple):
    """A stored version. Numbers grow over all series; versions are never changed."""

    version_id: int
    instruction_id: str
    kind: Kind
    visible_time: int
    definition: Definition

    def as_object(self) -> dict[str, Any]:
        """The version as the patch of a draw delta shows it."""
        # Not _asdict, which takes three times as long: there are thousands of these in an answer.
        return {
            "version_id": self.version_id,
            "instruction_id": self.instruction_id,
            "kind": self.kind,
            "visible_time": self.visible_time,
            "definition": self.definition,
        }


def feature_of(instruction_id: str) -> str:
    """The visibility key of an instruction, which every id begins with."""
    return instruction_id.partition(":")[0]


def span_of(definition: Definition) -> Span | None:
    """The times that a drawing covers; None when it is withdrawn."""
    if not definition:
        return None
    kind = definition["type"]
    if kind in (MARKER, LABEL):
        return Span(definition["time"], definition["time"])
    if kind == LINE:
        return Span(definition["start"], definition.get("end"))
    if kind == BOX:
        start, end = definition["start"], definition["end"]
    else:
        times = [point["time"] for point in definition["points"]]
        start, end = min(times), max(times)
    return Span(start, None if definition.get("extendRight") else end)


def marker(
    feature: str,
    time: int,
    *,
    position: Position,
    color: str,
    shape: Shape,
    text: str,
    size: float,
) -> Definition:
    """A mark above or below the candle at `time`."""
    return {
        "type": MARKER,
        "feature": feature,
        "time": time,
        "position": position,
        "color": color,
        "shape": shape,
        "text": text,
        "size": size,
    }


def polyline(
    feature: str,
    points: list[Point],
    *,
    color: str,
    width: int,
    dashed: bool = False,
    entry_direction: int | None = None,
    extend_right: bool = False,
) -> Definition:
    """A line through at least two points, ascending in time.

    With `extend_right` it goes on level from its last point to the newest candle.
    """
    definition: dict[str, Any] = {
        "type": POLYLINE,
        "feature": feature,
        "points": [{"time": time, "value": price} for time, price in points],
        "color": color,
        "lineWidth": width,
    }
    if dashed:
        definition["lineStyle"] = "dashed"
    if entry_direction is not None:
        definition["entryDirection"] = entry_direction
    if extend_right:
        definition["extendRight"] = True
    return definition


def box(
    feature: str,
    start: Point,
    end: Point,
    *,
    color: str,
    fill: str | None = None,
    width: int = 1,
    dashed: bool = False,
    extend_right: bool = False,
    title: str | None = None,
) -> Definition:
    """A rectangle between two corners, in any order; outlined in `color`.

    Without a `fill` it is filled with a light shade of `color`. With `extend_right` it reaches on
    to the newest candle. `title` is shown when the pointer is on it.
    """
    return {
        "type": BOX,
        "feature": feature,
        "start": min(start[0], end[0]),
        "end": max(start[0], end[0]),
        "top": max(start[1], end[1]),
        "bottom": min(start[1], end[1]),
        "color": color,
        "lineWidth": width,
        **_style(fill=fill, dashed=dashed, extend_right=extend_right, title=title),
    }


def label(
    feature: str,
    at: Point,
    text: str,
    *,
    color: str,
    place: Place = "center",
    title: str | None = None,
) -> Definition:
    """A text at a time and price, or right above or below."""
    return {
        "type": LABEL,
        "feature": feature,
        "time": at[0],
        "value": at[1],
        "text": text,
        "color": color,
        "place": place,
        **_style(title=title),
    }


def line(
    feature: str, *, color: str, width: int = 1, dashed: bool = False, title: str | None = None
) -> Definition:
    """The look of a line that grows by at most one point with each candle.

    `Sheet.extend` draws it: its points are stored one by one, never again with a later one.
    """
    return {
        "type": LINE,
        "feature": feature,
        "color": color,
        "lineWidth": width,
        **_style(dashed=dashed, title=title),
    }


def _style(
    *,
    fill: str | None = None,
    dashed: bool = False,
    extend_right: bool = False,
    title: str | None = None,
) -> dict[str, Any]:
    """The optional fields that are given."""
    fields = {
        "fill": fill,
        "lineStyle": "dashed" if dashed else None,
        "extendRight": extend_right or None,
        "title": title,
    }
    return {name: value for name, value in fields.items() if value is not None}
