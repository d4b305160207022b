"""Zhongshu: the price zone that an entry pen and the three pens after it have in common.

It forms when the third pen is confirmed, or early when the price crosses the end of the first;
it dies with the first pen that lies wholly outside. Defined in the factor contract, section 9.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, NamedTuple

from factors.domain.graph import FactorSpec, Feature
from factors.domain.looks import CHINESE, Look, Words
from factors.domain.pen import Pen, PenState
from factors.domain.values import Event, History, Outcome, PastCandles, Payload, Setup, Slice
from market.domain.candle import Candle

PEN_CONFIRMED = "pen_confirmed"
PRICE_CROSS = "price_cross"


@dataclass(slots=True)
class Alive:
    """The zone that is alive: `zg` is its upper edge, `zd` its lower one.

    `awaiting` is true while it has formed early and the pen that starts at `p3_start` is not yet
    confirmed.
    """

    start_time: int
    end_time: int
    zg: float
    zd: float
    entry_direction: int
    formed_time: int
    formed_reason: str
    awaiting: bool
    p3_start: int


@dataclass(slots=True)
class Pending:
    """An entry pen with two pens after it, waiting for the third, whose extreme is followed."""

    entry: Pen
    p1: Pen
    p2: Pen
    p3_extreme: float
    cross_time: int | None = None

    @property
    def p3_start_time(self) -> int:
        """Where the third pen starts."""
        return self.p2.end_time


class Formation(NamedTuple):
    """How a zone forms: with which range of the third pen, when and why."""

    low: float
    high: float
    formed_time: int
    end_time: int
    reason: str


@dataclass(slots=True)
class ZhongshuState:
    """The state machine. `formed` are the entry pens of the zones the newest candle formed."""

    alive: Alive | None = None
    pending: Pending | None = None
    tail: deque[Pen] = field(default_factory=lambda: deque(maxlen=4))
    floor: int = 0
    seen_pen: bool = False
    formed: tuple[Pen, ...] = ()


def initial(setup: Setup) -> ZhongshuState:
    """The state before the first candle."""
    return ZhongshuState()


def step(state: ZhongshuState, candle: Candle, upstream: Mapping[str, Any]) -> Outcome | None:
    """Take one candle: first the pens it confirmed, then its own high and low."""
    pens: PenState = upstream["pen"]
    state.formed = ()
    events: list[Event] = []
    first = False
    if pens.confirmed:
        first, state.seen_pen = not state.seen_pen, True
        deaths = [apply_pen(state, pen) for pen in pens.confirmed]
        events = [_event(death) for death in deaths if death is not None]
    apply_candle(state, candle.candle_time, candle.high, low=candle.low)
    if not (first or events or state.formed):
        return None
    return Outcome(events, _head(state, candle.candle_time))


def apply_pen(state: ZhongshuState, pen: Pen) -> Payload | None:
    """Apply a confirmed pen; return the payload of the death it causes, if any."""
    state.tail.append(pen)
    alive, pending = state.alive, state.pending
    if alive is None:
        if pending is not None and pen.start_time == pending.p3_start_time:
            third = Formation(pen.low, pen.high, pen.visible_time, pen.end_time, PEN_CONFIRMED)
            _try_to_form(state, pending, third)
            state.pending = None
        if state.alive is None and state.pending is None:
            state.pending = _build_pending(state)
        return None
    if alive.awaiting and pen.start_time == alive.p3_start:
        alive.awaiting = False
    elif pen.high < alive.zd or pen.low > alive.zg:
        return _die(state, alive, pen)
    alive.end_time = max(alive.end_time, pen.end_time)
    return None


def apply_candle(state: ZhongshuState, time: int, high: float, *, low: float) -> None:
    """Apply a candle: it extends the zone that is alive, or may form the pending one early."""
    alive, pending = state.alive, state.pending
    if alive is not None:
        if time > alive.end_time:
            alive.end_time = time
    elif pending is not None and time > pending.p3_start_time:
        _follow(pending, time, high, low=low)
        if pending.cross_time is not None:
            start, extreme = pending.p2.end_price, pending.p3_extreme
            third = Formation(
                min(start, extreme), max(start, extreme), pending.cross_time, time, PRICE_CROSS
            )
            _try_to_form(state, pending, third)


def _die(state: ZhongshuState, alive: Alive, pen: Pen) -> Payload:
    tail = state.tail
    state.floor = (tail[-2] if len(tail) > 1 else pen).start_time
    state.alive = None
    state.pending = _build_pending(state)
    return {
        "start_time": alive.start_time,
        "end_time": alive.end_time,
        "zg": alive.zg,
        "zd": alive.zd,
        "entry_direction": alive.entry_direction,
        "formed_time": alive.formed_time,
        "death_time": pen.visible_time,
        "visible_time": pen.visible_time,
        "formed_reason": alive.formed_reason,
    }


def _follow(pending: Pending, time: int, high: float, *, low: float) -> None:
    """Follow the running third pen, and note when it first crosses the end of the first."""
    trigger = pending.p1.end_price
    if pending.p2.direction == 1:
        pending.p3_extreme = min(pending.p3_extreme, low)
        crossed = low <= trigger
    else:
        pending.p3_extreme = max(pending.p3_extreme, high)
        crossed = high >= trigger
    if crossed and pending.cross_time is None:
        pending.cross_time = time


def _try_to_form(state: ZhongshuState, pending: Pending, third: Formation) -> None:
    """Form the zone if entry, both pens and the third range have a price in common."""
    entry, p1, p2 = pending.entry, pending.p1, pending.p2
    zd = max(p1.low, p2.low, third.low)
    zg = min(p1.high, p2.high, third.high)
    if max(entry.low, zd) > min(entry.high, zg):
        return
    state.alive = Alive(
        start_time=entry.start_time,
        end_time=third.end_time,
        zg=zg,
        zd=zd,
        entry_direction=entry.direction,
        formed_time=third.formed_time,
        formed_reason=third.reason,
        awaiting=third.reason == PRICE_CROSS,
        p3_start=pending.p3_start_time,
    )
    state.pending = None
    state.formed = (*state.formed, entry)


def _build_pending(state: ZhongshuState) -> Pending | None:
    if len(state.tail) < 3:
        return None
    entry, p1, p2 = list(state.tail)[-3:]
    if state.floor > 0 and entry.start_time < state.floor:
        return None
    return Pending(entry, p1, p2, p3_extreme=p2.end_price)


def _head(state: ZhongshuState, time: int) -> Payload:
    alive = state.alive
    if alive is None:
        return {"alive": []}
    return {
        "alive": [
            {
                "start_time": alive.start_time,
                "end_time": alive.end_time,
                "zg": alive.zg,
                "zd": alive.zd,
                "entry_direction": alive.entry_direction,
                "formed_time": alive.formed_time,
                "formed_reason": alive.formed_reason,
                "death_time": None,
                "visible_time": time,
            }
        ]
    }


def carry(head: Payload, at_time: int) -> Payload:
    """A stored head as it reads at a later candle: the zone that is alive ends at that candle.

    Every candle extends it, so no new head is stored for that.
    """
    moved = {"end_time": at_time, "visible_time": at_time}
    return {"alive": [item | moved for item in head["alive"]]}


def _event(death: Payload) -> Event:
    key = (
        f"dead:{death['start_time']}:{death['formed_time']}:{death['death_time']}"
        f":{death['zg']:.8f}:{death['zd']:.8f}:{death['formed_reason']}"
    )
    return Event(SPEC.name, "zhongshu.dead", death["visible_time"], key, death)


def freeze(state: ZhongshuState) -> Any:
    """The state as JSON values."""
    pending = state.pending
    return {
        "alive": None if state.alive is None else asdict(state.alive),
        "pending": pending and [pending.entry, pending.p1, pending.p2, pending.p3_extreme],
        "cross_time": pending and pending.cross_time,
        "tail": list(state.tail),
        "floor": state.floor,
        "seen_pen": state.seen_pen,
    }


def thaw(data: Any, setup: Setup, past: PastCandles) -> ZhongshuState:
    """The state that was frozen."""
    state = initial(setup)
    if data["alive"] is not None:
        state.alive = Alive(**data["alive"])
    if data["pending"] is not None:
        *pens, extreme = data["pending"]
        entry, p1, p2 = (Pen(*pen) for pen in pens)
        state.pending = Pending(entry, p1, p2, extreme, data["cross_time"])
    state.tail.extend(Pen(*pen) for pen in data["tail"])
    return replace(state, floor=data["floor"], seen_pen=data["seen_pen"])


def read(history: History, head: Payload | None) -> Slice | None:
    """The slice: dead zones and the one that is alive, once there is either."""
    dead = history.of("zhongshu.dead")
    alive = head["alive"] if head is not None else []
    return Slice({"dead": dead}, {"alive": alive}) if dead or alive else None


ZONE = Look(color="violet", width=1, opacity=0.7, fill_opacity=0.09, area=("top", "bottom"))

SPEC = FactorSpec(
    name="zhongshu",
    depends_on=("pen",),
    version=1,
    kinds=("zhongshu.dead",),
    label="Zhongshu",
    translations={CHINESE: Words("中枢")},
    features=(
        Feature(
            "zhongshu.alive",
            "Alive",
            description="The price zone that the newest pens share",
            translations={CHINESE: Words("存续", "最近几笔共有的价格区间")},
            look=replace(ZONE, dashed=True, opacity=0.95, fill_opacity=0.16, momentary=True),
        ),
        Feature(
            "zhongshu.dead",
            "Dead",
            description="A price zone that pens shared, until one left it",
            translations={CHINESE: Words("已结束", "曾由几笔共有、后被离开的价格区间")},
            look=ZONE,
        ),
    ),
    initial=initial,
    step=step,
    freeze=freeze,
    thaw=thaw,
    read=read,
    carry=carry,
)
