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
from overlays.domain.instruction import Point, marker, polyline
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
class EarlierAnchor:
    """An anchor with the first switch to it, and its newest shape; it may be the current one."""

    switch_time: int
    reference: Reference
    shape: Shape | None = None

    @property
    def instruction_id(self) -> str:
        """The id: the switch and the pen it moved to."""
        _, start, end, direction = self.reference
        return f"{HISTORY}:{self.switch_time}:{start}:{end}:{direction}"


@dataclass(slots=True)
class AnchorState:
    """The newest pens, the head's strokes, the current anchor, and earlier ones that may change."""

    pens: deque[Stroke] = field(default_factory=lambda: deque(maxlen=REACH))
    strokes: tuple[Stroke, ...] = ()
    current: Reference | None = None
    shape: Shape | None = None
    earlier: dict[int, EarlierAnchor] = field(default_factory=dict)


def initial(_: Setup) -> AnchorState:
    """The state before the first candle."""
    return AnchorState()


def step(state: AnchorState, new: FactorStep, sheet: Sheet) -> None:
    """Mark this candle's switches, draw the current anchor and the earlier ones."""
    confirmed = new.payloads("pen.confirmed")
    switches = new.payloads(SWITCH)
    if not (confirmed or switches or "pen" in new.heads or "anchor" in new.heads):
        return
    state.pens.extend(map(_stroke, confirmed))
    if "pen" in new.heads:
        state.strokes = tuple(map(_stroke, new.heads["pen"].values()))
    for switch in switches:
        _mark(switch, sheet)
    if switches:
        # Of several switches at one candle the last counts.
        reference = Reference(**switches[-1]["new_anchor"])
        anchor = EarlierAnchor(switches[-1]["switch_time"], reference)
        state.earlier.setdefault(reference.start_time, anchor)
    _move(state, new)
    _draw(state, sheet)
    _settle(state, sheet)


def _stroke(pen: Payload) -> Stroke:
    return Stroke(*ends(pen), pen["direction"])


def _move(state: AnchorState, new: FactorStep) -> None:
    """Take the anchor from a changed head, and find where all anchors are to be drawn."""
    before = state.current
    head = new.heads.get("anchor")
    if head is not None:
        reference = head["current_anchor_ref"]
        state.current = None if reference is None else Reference(**reference)
    current = state.current
    if current is not None:
        shape = _found(state, current)
        if shape is None and current != before:
            shape = _read(state, current, new.read)
        state.shape = shape or state.shape
    for start, anchor in state.earlier.items():
        if current is not None and start == current.start_time:
            anchor.shape = state.shape
        else:
            anchor.shape = _confirmed(state.pens, anchor.reference) or anchor.shape


def _found(state: AnchorState, reference: Reference) -> Shape | None:
    """The head's stroke that the reference names, else the confirmed pen."""
    if reference.kind == CANDIDATE:
        for stroke in state.strokes:
            if stroke.is_of(reference):
                return Shape(stroke.start, stroke.end, firm=False)
    return _confirmed(state.pens, reference)


def _confirmed(pens: Iterable[Stroke], reference: Reference) -> Shape | None:
    """The named pen, else the longest that starts there and goes the same way."""
    alike = [pen for pen in pens if pen.starts(reference)]
    if not alike:
        return None
    best = max(alike, key=lambda pen: (pen.is_of(reference), pen.end[0]))
    return Shape(best.start, best.end, firm=True)


def _read(state: AnchorState, reference: Reference, read: ReadCandles) -> Shape:
    """The candidate against the last pen, where it is no stroke of the head.

    The head's strokes follow the kinds of the pivots, the candidate the direction of the last
    pen. These differ when a support lies above the resistance before it.
    """
    (candle,) = read(reference.end_time, reference.end_time)
    price = candle.high if reference.direction == 1 else candle.low
    return Shape(state.pens[-1].end, (reference.end_time, price), firm=False)


def _draw(state: AnchorState, sheet: Sheet) -> None:
    current = state.current
    if current is None or state.shape is None:
        sheet.withdraw(CURRENT)
    else:
        points, dashed = [state.shape.start, state.shape.end], not state.shape.firm
        line = polyline(CURRENT, points, color=COLOR, width=CURRENT_WIDTH, dashed=dashed)
        sheet.draw(CURRENT, line)
    for start, anchor in state.earlier.items():
        if current is not None and start == current.start_time:
            sheet.withdraw(anchor.instruction_id)
        elif anchor.shape is not None:
            points = [anchor.shape.start, anchor.shape.end]
            line = polyline(HISTORY, points, color=HISTORY_COLOR, width=HISTORY_WIDTH)
            sheet.draw(anchor.instruction_id, line)


def _settle(state: AnchorState, sheet: Sheet) -> None:
    """Settle the earlier anchors that can't change: their pens are out of reach."""
    if len(state.pens) < REACH:
        return
    oldest = state.pens[0].start[0]
    current = None if state.current is None else state.current.start_time
    for start in [start for start in state.earlier if start < oldest and start != current]:
        sheet.settle(state.earlier.pop(start).instruction_id)


def _mark(switch: Payload, sheet: Sheet) -> None:
    """Mark a switch with an arrow of the new direction."""
    time, direction = switch["switch_time"], switch["new_anchor"]["direction"]
    rising = direction >= 0
    mark = marker(
        SWITCH,
        time,
        position="belowBar" if rising else "aboveBar",
        color=COLOR,
        shape="arrowUp" if rising else "arrowDown",
        text="A",
        size=1.0,
    )
    sheet.add(f"{SWITCH}:{time}:{direction}:{switch['reason']}", mark)


def freeze(state: AnchorState) -> Any:
    """The state as JSON values."""
    frozen = [[each.switch_time, each.reference, each.shape] for each in state.earlier.values()]
    return {
        "pens": list(state.pens),
        "strokes": state.strokes,
        "current": state.current,
        "shape": state.shape,
        "visits": frozen,
    }


def thaw(data: Any, _: Setup) -> AnchorState:
    """The state that was frozen."""
    earlier = [
        EarlierAnchor(time, Reference(*named), _shape(shape))
        for time, named, shape in data["visits"]
    ]
    state = AnchorState(
        strokes=tuple(map(_thaw_stroke, data["strokes"])),
        current=None if data["current"] is None else Reference(*data["current"]),
        shape=_shape(data["shape"]),
        earlier={each.reference.start_time: each for each in earlier},
    )
    state.pens.extend(map(_thaw_stroke, data["pens"]))
    return state


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
