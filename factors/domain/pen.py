"""Pens: the strokes between alternating pivots, and the preview of the next two.

A pen needs three alternating major pivots; the third confirms the pen between the first two.
Defined in the factor contract, section 8.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import inf
from typing import Any, NamedTuple

from factors.domain.graph import FactorSpec, Feature
from factors.domain.looks import CHINESE, Look, Words
from factors.domain.pivot import RESISTANCE, SUPPORT, Pivot, PivotState
from factors.domain.values import Event, History, Outcome, PastCandles, Payload, Setup, Slice
from market.domain.candle import Candle


class Pen(NamedTuple):
    """A confirmed pen. Times are open times; `direction` is 1 when the price rose, else -1."""

    start_time: int
    end_time: int
    start_price: float
    end_price: float
    direction: int
    visible_time: int
    start_idx: int | None
    end_idx: int | None

    @property
    def low(self) -> float:
        """The lower of its two prices."""
        return min(self.start_price, self.end_price)

    @property
    def high(self) -> float:
        """The higher of its two prices."""
        return max(self.start_price, self.end_price)


class Leg:
    """An effective pivot and the extremes of the candles after it, updated candle by candle.

    Prices are turned so that forward is up: a leg from a resistance looks at negated prices.
    `reach` is the furthest forward any candle came, `back` the furthest backward after that one,
    `against` the furthest backward of all. Of equal extremes the earliest counts.
    """

    __slots__ = (
        "against", "against_time", "back", "back_time", "pivot", "reach", "reach_time", "rising",
    )  # fmt: skip

    def __init__(self, pivot: Pivot) -> None:
        self.pivot = pivot
        self.rising = pivot.direction == SUPPORT
        self.reach = self.back = self.against = -inf
        self.reach_time = self.back_time = self.against_time = 0

    def take(self, time: int, high: float, low: float) -> bool:
        """Take one more candle; return whether reach or back moved."""
        forward, backward = (high, -low) if self.rising else (-low, high)
        if backward > self.against:
            self.against, self.against_time = backward, time
        if forward > self.reach:
            self.reach, self.reach_time = forward, time
            self.back = -inf
            return True
        if backward > self.back:
            self.back, self.back_time = backward, time
            return True
        return False

    def lowest(self) -> tuple[int, float]:
        """Time and price of the lowest low since the pivot."""
        if self.rising:
            return self.against_time, -self.against
        return self.reach_time, -self.reach

    def highest(self) -> tuple[int, float]:
        """Time and price of the highest high since the pivot."""
        if self.rising:
            return self.reach_time, self.reach
        return self.against_time, self.against

    def preview(self) -> Payload:
        """The pen's head: the running stroke, and the one that may follow it."""
        turn = self.reach if self.rising else -self.reach
        pivot = self.pivot
        if self.reach == -inf or turn == pivot.price:
            return {}
        direction = 1 if self.rising else -1
        head = {"extending": _stroke(pivot.time, pivot.price, self.reach_time, turn, direction)}
        end = -self.back if self.rising else self.back
        if self.back != -inf and end != turn:
            head["candidate"] = _stroke(self.reach_time, turn, self.back_time, end, -direction)
        return head


@dataclass(slots=True)
class PenState:
    """The last two effective pivots with what followed them, and the last confirmed pen.

    `confirmed` are the pens that the newest candle confirmed.
    """

    before: Leg | None = None
    newest: Leg | None = None
    last: Pen | None = None
    head: Payload | None = None
    confirmed: tuple[Pen, ...] = ()

    def candidate_end(self) -> tuple[int, float] | None:
        """Where a pen against the last confirmed one would end now: time and price.

        None while there is no confirmed pen. The last pen ends at the second-last pivot.
        """
        if self.last is None or self.before is None:
            return None
        return self.before.lowest() if self.last.direction == 1 else self.before.highest()


def initial(setup: Setup) -> PenState:
    """The state before the first candle."""
    return PenState()


def step(state: PenState, candle: Candle, upstream: Mapping[str, Any]) -> Outcome | None:
    """Take one candle; report the pens it confirms, and the preview when it changed."""
    time, _, high, low, _, _ = candle
    moved = state.before is not None and state.before.take(time, high, low)
    if state.newest is not None:
        state.newest.take(time, high, low)
    state.confirmed = ()
    pivots: PivotState = upstream["pivot"]
    if pivots.majors:
        state.confirmed = tuple(
            pen for pivot in pivots.majors if (pen := _effective(state, pivot, pivots)) is not None
        )
        moved = True
    if not moved or state.last is None or state.before is None:
        return None
    head = state.before.preview()
    changed = head != state.head
    state.head = head
    if not changed and not state.confirmed:
        return None
    return Outcome([_event(pen) for pen in state.confirmed], head if changed else None)


def _effective(state: PenState, pivot: Pivot, pivots: PivotState) -> Pen | None:
    """Add a major pivot to the effective ones; return the pen that this confirms, if any."""
    start, end = state.before, state.newest
    if end is not None and end.pivot.direction == pivot.direction:
        higher = pivot.price > end.pivot.price
        lower = pivot.price < end.pivot.price
        if higher if pivot.direction == RESISTANCE else lower:
            state.newest = _leg(pivot, pivots)
        return None
    state.before, state.newest = end, _leg(pivot, pivots)
    if start is None or end is None:
        return None
    state.last = Pen(
        start_time=start.pivot.time,
        end_time=end.pivot.time,
        start_price=start.pivot.price,
        end_price=end.pivot.price,
        direction=1 if end.pivot.price > start.pivot.price else -1,
        visible_time=pivot.visible_time,
        start_idx=start.pivot.ordinal,
        end_idx=end.pivot.ordinal,
    )
    return state.last


def _leg(pivot: Pivot, pivots: PivotState) -> Leg:
    """A leg from a pivot just confirmed, with the candles since then already taken."""
    leg = Leg(pivot)
    for candle in pivots.recent:
        if candle.candle_time > pivot.time:
            leg.take(candle.candle_time, candle.high, candle.low)
    return leg


def _stroke(
    start_time: int, start_price: float, end_time: int, end_price: float, direction: int
) -> Payload:
    return {
        "start_time": start_time,
        "end_time": end_time,
        "start_price": start_price,
        "end_price": end_price,
        "direction": direction,
    }


def _event(pen: Pen) -> Event:
    key = f"confirmed:{pen.start_time}:{pen.end_time}:{pen.direction}"
    return Event(SPEC.name, "pen.confirmed", pen.visible_time, key, pen._asdict())


def freeze(state: PenState) -> Any:
    """The state as JSON values."""
    legs = [_freeze_leg(leg) for leg in (state.before, state.newest)]
    return {"legs": legs, "last": state.last, "head": state.head}


def thaw(data: Any, setup: Setup, past: PastCandles) -> PenState:
    """The state that was frozen."""
    before, newest = (_thaw_leg(leg) for leg in data["legs"])
    last = None if data["last"] is None else Pen(*data["last"])
    return PenState(before=before, newest=newest, last=last, head=data["head"])


def _freeze_leg(leg: Leg | None) -> Any:
    if leg is None:
        return None
    extremes = (leg.reach, leg.back, leg.against)
    times = (leg.reach_time, leg.back_time, leg.against_time)
    # JSON has no infinity: an extreme without a candle is null.
    return [leg.pivot, [None if value == -inf else value for value in extremes], times]


def _thaw_leg(data: Any) -> Leg | None:
    if data is None:
        return None
    pivot, extremes, times = data
    leg = Leg(Pivot(*pivot))
    leg.reach, leg.back, leg.against = (-inf if value is None else value for value in extremes)
    leg.reach_time, leg.back_time, leg.against_time = times
    return leg


def read(history: History, head: Payload | None) -> Slice | None:
    """The slice: confirmed pens and the preview, once there is a pen."""
    pens = history.of("pen.confirmed", "visible_time", "start_time")
    return Slice({"confirmed": pens}, head or {}) if pens else None


SPEC = FactorSpec(
    name="pen",
    depends_on=("pivot",),
    version=1,
    kinds=("pen.confirmed",),
    label="Pen",
    translations={CHINESE: Words("笔")},
    features=(
        Feature(
            "pen.confirmed",
            "Confirmed",
            description="Moves between alternating major pivots",
            translations={CHINESE: Words("已确认", "交替的主要枢轴点之间的走势")},
            look=Look(color="text", chained=True),
        ),
        Feature(
            "pen.extending",
            "Extending",
            description="From the last confirmed pen to the furthest price since",
            translations={CHINESE: Words("延伸中", "从最后确认的笔到此后最远的价格")},
            look=Look(color="text", momentary=True),
        ),
        Feature(
            "pen.candidate",
            "Candidate",
            description="From there to the furthest price back",
            translations={CHINESE: Words("候选", "从该处到反向最远的价格")},
            look=Look(color="text", momentary=True),
        ),
    ),
    initial=initial,
    step=step,
    freeze=freeze,
    thaw=thaw,
    read=read,
)
