"""Support and resistance: prices at which pivots of one kind meet, and whether they still hold.

With every major pivot all levels are judged on the candles so far, and a snapshot is taken.
Defined in the factor contract, section 11.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from operator import attrgetter, itemgetter
from typing import Any

from factors.domain.graph import FactorSpec, Feature
from factors.domain.looks import CHINESE, Look, Words
from factors.domain.pivot import RESISTANCE, SUPPORT, PivotState
from factors.domain.sr_closes import CloseWindow
from factors.domain.sr_levels import BROKEN, FLIP, Level, Shown, Side, SrParameters, Touch
from factors.domain.sr_status import Moment, judged_levels
from factors.domain.values import Event, History, Outcome, PastCandles, Payload, Setup, Slice
from market.domain.candle import Candle

ALGORITHM = "pivot_wick_overlap"
FEWEST_CANDLES = 5
DIGEST_LEVELS = 10
FULL_SCORE_TOUCHES = 4
KEPT_PAYLOADS = 6
PIVOT_ROW = attrgetter("ordinal", "time", "high", "low", "atr", "near")
ESSENCE = (
    "level_type",
    "last_idx",
    "status",
    "flip_dir",
    "death_idx",
    "count",
    "level_score",
)


@dataclass(slots=True)
class SrState:
    """Average true range, closes and pivots, as far back as levels need them.

    `ranges` are the true ranges of the period, `averages` the averages back to the candle that
    can become a pivot next. `shown` are the levels of the last snapshot, None before the first;
    after a restore `restored` has the essence of them until there is another snapshot.
    """

    parameters: SrParameters
    ranges: deque[float]
    averages: deque[float]
    closes: CloseWindow
    sides: tuple[Side, Side]
    count: int = 0
    range_sum: float = 0.0
    last_close: float = 0.0
    shown: list[Payload] | None = None
    restored: list[list[Any]] | None = None


def initial(setup: Setup) -> SrState:
    """The state before the first candle."""
    parameters: SrParameters = setup.parameters[SPEC.name]
    return SrState(
        parameters=parameters,
        ranges=deque(maxlen=parameters.atr_period),
        averages=deque(maxlen=setup.parameters["pivot"].window_major + 1),
        closes=CloseWindow(),
        sides=(Side(RESISTANCE, parameters), Side(SUPPORT, parameters)),
    )


def step(state: SrState, candle: Candle, upstream: Mapping[str, Any]) -> Outcome | None:
    """Take one candle; with a major pivot, report the levels as they are now."""
    _take(state, candle.candle_time, candle.high, low=candle.low, close=candle.close)
    pivots: PivotState = upstream["pivot"]
    if not pivots.majors:
        return None
    lowest, highest = state.closes.refresh()
    for pivot in pivots.majors:
        if pivot.price > 0:
            # A pivot lies exactly as far back as the averages go.
            average = state.averages[0]
            near = max(average * state.parameters.tolerance_atr, 0.0)
            touch = Touch(pivot.ordinal, pivot.time, pivot.high, pivot.low, average, near)
            state.sides[0 if pivot.direction == RESISTANCE else 1].add(touch, state.closes)
    shown = _chosen_levels(state, lowest, highest)
    state.closes.release(_needed_from(state))
    return _outcome(state, shown, candle.candle_time)


def _take(state: SrState, time: int, high: float, *, low: float, close: float) -> None:
    previous = state.last_close if state.count else close
    reach = max(high - low, abs(high - previous), abs(low - previous), 0.0)
    # Add before taking away: the contract's order, on which the last digits depend.
    total = state.range_sum + reach
    ranges = state.ranges
    if state.count >= state.parameters.atr_period:
        total -= ranges[0]
    ranges.append(reach)
    state.range_sum = total
    state.averages.append(total / len(ranges))
    state.closes.append(time, close)
    state.last_close = close
    state.count += 1


def _chosen_levels(state: SrState, lowest: float, highest: float) -> list[Shown]:
    """The chosen levels: the nearest of those that hold, then all that are broken."""
    if state.count < FEWEST_CANDLES:
        return []
    average, close = state.averages[-1], state.last_close
    near = state.parameters.tolerance_atr * average if average > 0 else None
    moment = Moment(state.closes, state.count, close, near, lowest, highest)
    found = [level for side in state.sides for level in judged_levels(side, moment)]
    found.sort(key=lambda level: abs(level.line - close))
    holding = [level for level in found if level.status != BROKEN]
    broken = [level for level in found if level.status == BROKEN]
    chosen = holding[: state.parameters.max_levels] + broken
    return [level.now or _show(state, level) for level in chosen]


def _outcome(state: SrState, shown: list[Shown], time: int) -> Outcome:
    levels = [one.level for one in shown]
    touches = [touch for one in shown for touch in one.touches]
    # By ordinal, then price: two plain sorts are faster than one by both.
    touches.sort(key=itemgetter("price"))
    touches.sort(key=itemgetter("idx"))
    head: Payload = {
        "algorithm": ALGORITHM if levels else "",
        "levels": levels,
        "pivots": touches,
    }
    digest = "none"
    if shown:
        text = ";".join([one.token for one in shown[:DIGEST_LEVELS]])
        digest = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()[:12]
    key = f"snapshot:{time}:{len(levels)}:{digest}"
    event = Event(SPEC.name, "sr.snapshot", time, key, {"visible_time": time, **head})
    if state.restored is None:
        changed = state.shown != levels
    else:
        changed = state.restored != [_essence(level) for level in levels]
    state.shown, state.restored = levels, None
    return Outcome([event], head if changed else None)


def _essence(level: Payload) -> list[Any]:
    """The fields that distinguish a level from any other that the same series may show."""
    return [level[field] for field in ESSENCE]


def _show(state: SrState, level: Level) -> Shown:
    """The level as payloads; the same objects again when it was shown like this before."""
    judgement = (level.status, level.flip_dir, level.death_idx, level.touches)
    shown = level.shown.get(judgement)
    if shown is None:
        if len(level.shown) >= KEPT_PAYLOADS:
            level.shown.clear()
        payload = _payload(state, level)
        touches = _touch(level.partner, payload), _touch(level.start, payload)
        kind, price, last = payload["type"], payload["price"], payload["last_time"]
        token = f"{level.status}:{kind}:{price:.8f}:{last}"
        shown = level.shown[judgement] = Shown(payload, touches, token)
    level.now = shown
    return shown


def _payload(state: SrState, level: Level) -> Payload:
    first, last = level.partner, level.start
    died = None if level.death_idx is None else state.closes.time_at(level.death_idx)
    touches = level.touches
    return {
        "price": level.line,
        "type": FLIP if level.status == FLIP else level.kind,
        "level_type": level.kind,
        "status": level.status,
        "first_idx": first.ordinal,
        "second_idx": last.ordinal,
        "last_idx": last.ordinal,
        "first_time": first.time,
        "second_time": last.time,
        "last_time": last.time,
        "count": max(state.parameters.min_touches, touches),
        "flip_dir": level.flip_dir,
        "touch_indices": [first.ordinal, last.ordinal],
        "touch_times": [first.time, last.time],
        "level_score": 0.5 * min(1, touches / FULL_SCORE_TOUCHES) + 0.5 * (touches > 0),
        "band_low": level.band_low,
        "band_high": level.band_high,
        "band_width_atr": level.band_width_atr,
        "death_idx": level.death_idx,
        "death_time": died,
        "death_price": None if died is None else level.line,
    }


def _touch(pivot: Touch, level: Payload) -> Payload:
    return {
        "idx": pivot.ordinal,
        "time": pivot.time,
        "price": level["price"],
        "type": level["type"],
        "source_window": "major",
    }


def _needed_from(state: SrState) -> int:
    """The first ordinal whose close a judgement may still need."""
    oldest = [side.pivots[0].ordinal for side in state.sides if side.pivots]
    return min([*oldest, state.count - len(state.averages)])


def freeze(state: SrState) -> Any:
    """The state as JSON values. Closes are left out: they are read again when needed."""
    shown = state.restored
    if state.shown is not None:
        shown = [_essence(level) for level in state.shown]
    sides = [
        [
            [list(PIVOT_ROW(pivot)) for pivot in side.pivots],
            [None if level is None else level.partner.ordinal for level in side.levels],
        ]
        for side in state.sides
    ]
    return {
        "count": state.count,
        "range_sum": state.range_sum,
        "last_close": state.last_close,
        "ranges": list(state.ranges),
        "averages": list(state.averages),
        "shown": shown,
        "sides": sides,
        "closes": _freeze_closes(state),
    }


def _freeze_closes(state: SrState) -> Any:
    """Ordinal and open time of the first candle whose close is needed."""
    if not state.count:
        return [0, 0]
    needed = _needed_from(state)
    for side in state.sides:
        if side.pivots and side.pivots[0].ordinal == needed:
            return [needed, side.pivots[0].time]
    return state.closes.oldest(needed)


def reads_from(state: SrState) -> int | None:
    """The open time of the first candle whose close is needed."""
    time: int = _freeze_closes(state)[1]
    return time if state.count else None


def thaw(data: Any, setup: Setup, past: PastCandles) -> SrState:
    """The state that was frozen; closes are read from `past` when a pivot needs them."""
    state = initial(setup)
    state.count = data["count"]
    state.range_sum = data["range_sum"]
    state.last_close = data["last_close"]
    state.ranges.extend(data["ranges"])
    state.averages.extend(data["averages"])
    state.restored = data["shown"]
    for side, (rows, partners) in zip(state.sides, data["sides"], strict=True):
        side.pivots = [Touch(*row) for row in rows]
        side.levels = [None] * len(rows)
        by_ordinal = {pivot.ordinal: pivot for pivot in side.pivots}
        for position, partner in enumerate(partners):
            if partner is not None:
                side.put(position, by_ordinal[partner])
    base, time = data["closes"]
    state.closes = CloseWindow.absent(base, time, state.count - base, past=past)
    return state


def read(history: History, head: Payload | None) -> Slice | None:
    """The slice: snapshots of the window and the current levels, once there is a snapshot."""
    return None if head is None else Slice({"snapshots": history.of("sr.snapshot")}, head)


SPEC = FactorSpec(
    name="sr",
    depends_on=("pivot",),
    version=1,
    kinds=("sr.snapshot",),
    label="SR",
    translations={CHINESE: Words("支撑/阻力")},
    features=(
        Feature(
            "sr.active",
            "Active",
            description="A price that pivots reached several times and closes did not leave behind",
            translations={CHINESE: Words("有效", "枢轴点多次到达、收盘价未远离的价格")},
            look=Look(width=1, opacity=0.55, to_axis=True, momentary=True),
            variants={
                RESISTANCE: Look(color="down", name="R"),
                SUPPORT: Look(color="up", name="S"),
            },
        ),
        Feature(
            "sr.broken",
            "Broken",
            False,
            description="A level that closes crossed too often",
            translations={CHINESE: Words("已失效", "收盘价多次穿越的价位")},
            look=Look(color="muted", opacity=0.6),
        ),
    ),
    parameters=SrParameters(),
    initial=initial,
    step=step,
    freeze=freeze,
    thaw=thaw,
    read=read,
    reads_from=reads_from,
)
