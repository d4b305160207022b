"""Draw instructions: the drawable form of facts.

Defined in the overlay contract, sections 1 to 4. A definition is a plain mapping ready for JSON;
it is shared, so it must never be changed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

Kind = Literal["marker", "polyline"]
Position = Literal["aboveBar", "belowBar"]
Shape = Literal["circle", "arrowUp", "arrowDown"]
Definition = Mapping[str, Any]
Point = tuple[int, float]
"""An open time (Unix seconds) and a price."""

MARKER: Kind = "marker"
POLYLINE: Kind = "polyline"

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
    if definition["type"] == MARKER:
        return Span(definition["time"], definition["time"])
    times = [point["time"] for point in definition["points"]]
    return Span(min(times), None if definition.get("extendRight") else max(times))


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
