"""Drawings of pens: one line through the confirmed ones, and the two strokes that may follow.

Defined in the overlay contract, sections 4.1 and 4.4. The line holds the pens of the render
window only, so no version of it grows with history. The strokes are those of the pen's head.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Any

from factors.domain.values import Payload
from overlays.domain.instruction import Point, polyline
from overlays.domain.renderer import FactorStep, RendererSpec, Setup, Sheet

CONFIRMED = "pen.confirmed"
EXTENDING = "pen.extending"
CANDIDATE = "pen.candidate"
COLOR = "#ffffff"
LINE_WIDTH = 2


@dataclass(slots=True)
class Line:
    """The confirmed pens of the window, oldest first, each as its start and its end."""

    setup: Setup
    pens: deque[tuple[Point, Point]] = field(default_factory=deque)


def ends(pen: Payload) -> tuple[Point, Point]:
    """The two points of a pen or stroke."""
    return (pen["start_time"], pen["start_price"]), (pen["end_time"], pen["end_price"])


def step(line: Line, new: FactorStep, sheet: Sheet) -> None:
    """Add the pens that this candle confirmed, drop old ones, draw the strokes of the head."""
    confirmed = new.payloads(CONFIRMED)
    line.pens.extend(ends(pen) for pen in confirmed)
    if _drop(line, line.setup.cutoff(new.time)) or confirmed:
        _draw(line, sheet)
    head = new.heads.get("pen")
    if head is not None:
        _draw_stroke(EXTENDING, head.get("extending"), sheet)
        _draw_stroke(CANDIDATE, head.get("candidate"), sheet)


def _drop(line: Line, cutoff: int) -> bool:
    """Drop the pens that ended before `cutoff`; return whether there were any."""
    before = len(line.pens)
    while line.pens and line.pens[0][1][0] < cutoff:
        line.pens.popleft()
    return len(line.pens) < before


def _draw(line: Line, sheet: Sheet) -> None:
    points: list[Point] = []
    for start, end in line.pens:
        # A pen that starts where the last one ended shares its point.
        if not points or points[-1][0] != start[0]:
            points.append(start)
        points.append(end)
    if points:
        sheet.draw(CONFIRMED, polyline(CONFIRMED, points, color=COLOR, width=LINE_WIDTH))
    else:
        sheet.withdraw(CONFIRMED)


def _draw_stroke(feature: str, stroke: Payload | None, sheet: Sheet) -> None:
    if stroke is None:
        sheet.withdraw(feature)
    else:
        points = [*ends(stroke)]
        drawn = polyline(feature, points, color=COLOR, width=LINE_WIDTH, dashed=True)
        sheet.draw(feature, drawn)


def freeze(line: Line) -> Any:
    """The state as JSON values."""
    return list(line.pens)


def thaw(data: Any, setup: Setup) -> Line:
    """The state that was frozen."""
    pens = (((start[0], start[1]), (end[0], end[1])) for start, end in data)
    return Line(setup, deque(pens))


SPEC = RendererSpec(
    factor="pen",
    version=1,
    features=(CONFIRMED, EXTENDING, CANDIDATE),
    every_candle=True,
    initial=Line,
    step=step,
    freeze=freeze,
    thaw=thaw,
)
