"""Drawings of the anchor: the pen it points to, earlier ones, and its switches.

Defined in the overlay contract, sections 3.2 and 4.4. The current anchor is the one of the stored
head. Its history holds the first switch to each anchor (of several switches at one candle the
last counts), and appears with the candle at which the anchor moved on.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from factors.domain.anchor import CANDIDATE, Reference
from factors.domain.values import Payload, ReadCandles
from overlays.domain.instruction import Definition, Point, marker, polyline
from overlays.domain.pen import ends
from overlays.domain.renderer import FactorStep, RendererSpec, Setup, Sheet

CURRENT = "anchor.current"
HISTORY = "anchor.history"
SWITCH = "anchor.switch"

COLOR = "#f59e0b"
HISTORY_COLOR = "rgba(59,130,246,0.55)"
CURRENT_WIDTH = 2
HISTORY_WIDTH = 1

REACH = 5
"""An anchor moves to the newest pens only: a zone forms from at most four pens back, and one candle
can confirm two pens."""


class Stroke(NamedTuple):
    """A pen, or a stroke of the pen's head, with its direction."""

    start: Point
    end: Point
    direction: int

    def is_of(self, reference: Reference) -> bool:
        """Whether the reference names exactly this stroke."""
        return (self.start[0], self.end[0], self.direction) == reference[1:]

    def starts(self, reference: Reference) -> bool:
        """Whether it starts where the reference does, and goes the same way."""
        return (self.start[0], self.direction) == (reference.start_time, reference.direction)


class Shape(NamedTuple):
    """Where a referenced pen is drawn; `firm` once the pen is confirmed."""

    start: Point
    end: Point
    firm: bool


@dataclass(slots=True)
class Visit:
    """The first switch to an anchor, and the anchor's newest shape."""

    switch_time: int
    reference: Reference
    shape: Shape | None = None

    @property
    def instruction_id(self) -> str:
        """The id: the switch and the pen it moved to."""
        _, start, end, direction = self.reference
        return f"{HISTORY}:{self.switch_time}:{start}:{end}:{direction}"


@dataclass(slots=True)
class Trail:
    """The newest pens, the head's strokes, the current anchor, and visits that may yet change."""

    pens: deque[Stroke] = field(default_factory=lambda: deque(maxlen=REACH))
    strokes: tuple[Stroke, ...] = ()
    current: Reference | None = None
    shape: Shape | None = None
    visits: dict[int, Visit] = field(default_factory=dict)


def initial(_: Setup) -> Trail:
    """The state before the first candle."""
    return Trail()


def step(trail: Trail, new: FactorStep, sheet: Sheet) -> None:
    """Mark this candle's switches, draw the current anchor and the earlier ones."""
    confirmed = new.payloads("pen.confirmed")
    switches = new.payloads(SWITCH)
    if not (confirmed or switches or "pen" in new.heads or "anchor" in new.heads):
        return
    trail.pens.extend(map(_stroke, confirmed))
    if "pen" in new.heads:
        trail.strokes = tuple(map(_stroke, new.heads["pen"].values()))
    for switch in switches:
        sheet.add(_switch_id(switch), _mark(switch))
    if switches:
        _visit(trail, switches[-1])
    _move(trail, new)
    _draw(trail, sheet)
    _settle(trail, sheet)


def _stroke(pen: Payload) -> Stroke:
    return Stroke(*ends(pen), pen["direction"])


def _visit(trail: Trail, switch: Payload) -> None:
    reference = Reference(**switch["new_anchor"])
    trail.visits.setdefault(reference.start_time, Visit(switch["switch_time"], reference))


def _move(trail: Trail, new: FactorStep) -> None:
    """Take the anchor from a changed head, and find where all anchors are to be drawn."""
    before = trail.current
    head = new.heads.get("anchor")
    if head is not None:
        reference = head["current_anchor_ref"]
        trail.current = None if reference is None else Reference(**reference)
    current = trail.current
    if current is not None:
        shape = _found(trail, current)
        if shape is None and current != before:
            shape = _read(trail, current, new.read)
        trail.shape = shape or trail.shape
    for start, visit in trail.visits.items():
        if current is not None and start == current.start_time:
            visit.shape = trail.shape
        else:
            visit.shape = _confirmed(trail.pens, visit.reference) or visit.shape


def _found(trail: Trail, reference: Reference) -> Shape | None:
    """The head's stroke that the reference names, else the confirmed pen."""
    if reference.kind == CANDIDATE:
        for stroke in trail.strokes:
            if stroke.is_of(reference):
                return Shape(stroke.start, stroke.end, firm=False)
    return _confirmed(trail.pens, reference)


def _confirmed(pens: Iterable[Stroke], reference: Reference) -> Shape | None:
    """The named pen, else the longest that starts there and goes the same way."""
    alike = [pen for pen in pens if pen.starts(reference)]
    if not alike:
        return None
    best = max(alike, key=lambda pen: (pen.is_of(reference), pen.end[0]))
    return Shape(best.start, best.end, firm=True)


def _read(trail: Trail, reference: Reference, read: ReadCandles) -> Shape:
    """The candidate against the last pen, where it is no stroke of the head.

    The head's strokes follow the kinds of the pivots, the candidate the direction of the last
    pen. These differ when a support lies above the resistance before it.
    """
    (candle,) = read(reference.end_time, reference.end_time)
    price = candle.high if reference.direction == 1 else candle.low
    return Shape(trail.pens[-1].end, (reference.end_time, price), firm=False)


def _draw(trail: Trail, sheet: Sheet) -> None:
    current = trail.current
    if current is None or trail.shape is None:
        sheet.withdraw(CURRENT)
    else:
        sheet.draw(CURRENT, _current(trail.shape))
    for start, visit in trail.visits.items():
        if current is not None and start == current.start_time:
            sheet.withdraw(visit.instruction_id)
        elif visit.shape is not None:
            sheet.draw(visit.instruction_id, _history(visit.shape))


def _settle(trail: Trail, sheet: Sheet) -> None:
    """Forget the visits that no later candle can change: the anchor can't return to their pens."""
    if len(trail.pens) < REACH:
        return
    oldest = trail.pens[0].start[0]
    current = None if trail.current is None else trail.current.start_time
    for start in [start for start in trail.visits if start < oldest and start != current]:
        sheet.settle(trail.visits.pop(start).instruction_id)


def _current(shape: Shape) -> Definition:
    points = [shape.start, shape.end]
    return polyline(CURRENT, points, color=COLOR, width=CURRENT_WIDTH, dashed=not shape.firm)


def _history(shape: Shape) -> Definition:
    return polyline(HISTORY, [shape.start, shape.end], color=HISTORY_COLOR, width=HISTORY_WIDTH)


def _switch_id(switch: Payload) -> str:
    direction = switch["new_anchor"]["direction"]
    return f"{SWITCH}:{switch['switch_time']}:{direction}:{switch['reason']}"


def _mark(switch: Payload) -> Definition:
    rising = switch["new_anchor"]["direction"] >= 0
    return marker(
        SWITCH,
        switch["switch_time"],
        position="belowBar" if rising else "aboveBar",
        color=COLOR,
        shape="arrowUp" if rising else "arrowDown",
        text="A",
        size=1.0,
    )


def freeze(trail: Trail) -> Any:
    """The state as JSON values."""
    visits = [[visit.switch_time, visit.reference, visit.shape] for visit in trail.visits.values()]
    return {
        "pens": list(trail.pens),
        "strokes": trail.strokes,
        "current": trail.current,
        "shape": trail.shape,
        "visits": visits,
    }


def thaw(data: Any, _: Setup) -> Trail:
    """The state that was frozen."""
    visits = [
        Visit(time, Reference(*named), _shape(shape)) for time, named, shape in data["visits"]
    ]
    trail = Trail(
        strokes=tuple(map(_thaw_stroke, data["strokes"])),
        current=None if data["current"] is None else Reference(*data["current"]),
        shape=_shape(data["shape"]),
        visits={visit.reference.start_time: visit for visit in visits},
    )
    trail.pens.extend(map(_thaw_stroke, data["pens"]))
    return trail


def _thaw_stroke(data: Any) -> Stroke:
    start, end, direction = data
    return Stroke(tuple(start), tuple(end), direction)


def _shape(data: Any) -> Shape | None:
    if data is None:
        return None
    start, end, firm = data
    return Shape(tuple(start), tuple(end), firm=firm)


SPEC = RendererSpec(
    factor="anchor",
    version=1,
    features=(CURRENT, HISTORY, SWITCH),
    initial=initial,
    step=step,
    freeze=freeze,
    thaw=thaw,
)
