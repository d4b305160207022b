"""Anchor: a pointer to the pen that matters most, and its switches from one pen to another.

It moves to a stronger pen (confirmed, or the candidate against the last one) and to the entry pen
of every zhongshu that forms. Defined in the factor contract, section 10.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from factors.domain.graph import FactorSpec, Feature
from factors.domain.looks import CHINESE, Look, Words
from factors.domain.pen import Pen, PenState
from factors.domain.values import Event, History, Outcome, PastCandles, Payload, Setup, Slice
from factors.domain.zhongshu import ZhongshuState
from market.domain.candle import Candle

CONFIRMED = "confirmed"
CANDIDATE = "candidate"
ZHONGSHU_ENTRY = "zhongshu_entry"
STRONG_PEN = "strong_pen"


class Reference(NamedTuple):
    """The pen that the anchor points to. It is the same anchor while `start_time` is the same."""

    kind: str
    start_time: int
    end_time: int
    direction: int


@dataclass(slots=True)
class AnchorState:
    """The current anchor and the price distance its pen covers."""

    current: Reference | None = None
    strength: float | None = None


def initial(setup: Setup) -> AnchorState:
    """The state before the first candle."""
    return AnchorState()


def step(state: AnchorState, candle: Candle, upstream: Mapping[str, Any]) -> Outcome | None:
    """Take one candle; report the anchor's switches, and the anchor when it changed."""
    pens: PenState = upstream["pen"]
    zhongshu: ZhongshuState = upstream["zhongshu"]
    end = pens.candidate_end()
    last = pens.last
    if end is None or last is None:
        return None
    before, baseline = state.current, state.strength
    reach = abs(end[1] - last.end_price)
    grown = baseline is None or reach > baseline
    if not (grown or pens.confirmed or zhongshu.formed):
        return None
    strongest = _strongest(pens.confirmed, baseline)
    if grown and (strongest is None or reach > strongest[1]):
        candidate = Reference(CANDIDATE, last.end_time, end[0], -last.direction)
        strongest = (candidate, reach)
    time, events = candle.candle_time, []
    for entry in zhongshu.formed:
        pen = _reference(entry), _strength(entry)
        events += _switch(state, *pen, reason=ZHONGSHU_ENTRY, time=time)
    if strongest is not None:
        events += _switch(state, *strongest, reason=STRONG_PEN, time=time)
    if state.current == before:
        return None
    current = state.current
    return Outcome(events, {"current_anchor_ref": None if current is None else current._asdict()})


def _strongest(pens: tuple[Pen, ...], baseline: float | None) -> tuple[Reference, float] | None:
    """The first of the longest pens that are longer than `baseline`."""
    best: tuple[Reference, float] | None = None
    for pen in pens:
        strength = _strength(pen)
        if baseline is not None and strength <= baseline:
            continue
        if best is None or strength > best[1]:
            best = (_reference(pen), strength)
    return best


def _switch(
    state: AnchorState, reference: Reference, strength: float, *, reason: str, time: int
) -> list[Event]:
    """Point to a pen; return an event when it is another anchor than before."""
    old = state.current
    state.current, state.strength = reference, strength
    if old is not None and old.start_time == reference.start_time:
        return []
    payload = {
        "switch_time": time,
        "reason": reason,
        "old_anchor": None if old is None else old._asdict(),
        "new_anchor": reference._asdict(),
        "visible_time": time,
    }
    kind = f"{reference.kind}:" if reason == STRONG_PEN else ""
    pen = f"{reference.start_time}:{reference.end_time}:{reference.direction}"
    return [Event(SPEC.name, "anchor.switch", time, f"{reason}:{time}:{kind}{pen}", payload)]


def _reference(pen: Pen) -> Reference:
    return Reference(CONFIRMED, pen.start_time, pen.end_time, pen.direction)


def _strength(pen: Pen) -> float:
    return abs(pen.end_price - pen.start_price)


def freeze(state: AnchorState) -> Any:
    """The state as JSON values."""
    return [state.current, state.strength]


def thaw(data: Any, setup: Setup, past: PastCandles) -> AnchorState:
    """The state that was frozen."""
    current, strength = data
    return AnchorState(None if current is None else Reference(*current), strength)


def read(history: History, head: Payload | None) -> Slice | None:
    """The slice: switches to anchors not seen before in the window, and the current anchor."""
    switches = history.of("anchor.switch", "visible_time", "switch_time")
    if not switches and not history.of("pen.confirmed"):
        return None
    # The last switch of each time, and of these the first to each anchor.
    last = {switch["switch_time"]: switch for switch in switches}
    first: dict[int, Payload] = {}
    for switch in last.values():
        first.setdefault(switch["new_anchor"]["start_time"], switch)
    kept = list(first.values())
    anchors = [switch["new_anchor"] for switch in kept]
    return Slice(
        {"anchors": anchors, "switches": kept},
        {"current_anchor_ref": None if head is None else head["current_anchor_ref"]},
    )


ANCHOR = Look(color="amber", layer=1, halo=True, unclipped=True)

SPEC = FactorSpec(
    name="anchor",
    depends_on=("pen", "zhongshu"),
    version=1,
    kinds=("anchor.switch",),
    label="Anchor",
    translations={CHINESE: Words("锚")},
    features=(
        Feature(
            "anchor.current",
            "Current",
            description="The pen from which the present is measured",
            translations={CHINESE: Words("当前", "衡量当前走势所依据的笔")},
            look=replace(ANCHOR, width=3, layer=2, momentary=True),
        ),
        Feature(
            "anchor.history",
            "History",
            description="A pen from which the present was measured earlier",
            translations={CHINESE: Words("历史", "此前衡量走势所依据的笔")},
            look=replace(ANCHOR, color="blue", width=2.5),
        ),
        Feature(
            "anchor.switch",
            "Switches",
            description="The candle with which the anchor moved to another pen",
            translations={CHINESE: Words("切换", "锚移到另一笔时的K线")},
        ),
    ),
    initial=initial,
    step=step,
    freeze=freeze,
    thaw=thaw,
    read=read,
)
