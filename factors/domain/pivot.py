"""Pivots: candles whose high or low is an extreme among the candles on both sides.

A major pivot is the first extreme among `window_major` candles on either side; a minor one is an
extreme, ties allowed, within the smaller window. Defined in the factor contract, section 7.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from factors.domain.graph import FactorSpec, Feature
from factors.domain.looks import CHINESE, Words
from factors.domain.values import Event, History, Outcome, PastCandles, Payload, Setup, Slice
from market.domain.candle import Candle
from market.domain.timeframe import Timeframe

RESISTANCE = "resistance"
SUPPORT = "support"


@dataclass(frozen=True, slots=True)
class PivotParameters:
    """How many candles on each side a pivot is compared with."""

    window_major: int = 50
    window_minor: int = 5

    def __post_init__(self) -> None:
        if self.window_major < 1 or self.window_minor < 1:
            raise ValueError("pivot windows must be at least 1")


class Pivot(NamedTuple):
    """A confirmed pivot: `price` is the high or low of the candle at `ordinal`.

    `high` and `low` are that candle's; `visible_time` is the candle that confirmed it.
    """

    time: int
    price: float
    direction: str
    visible_time: int
    window: int
    ordinal: int
    high: float
    low: float

    def payload(self) -> Payload:
        """The pivot as its event shows it."""
        return {
            "pivot_time": self.time,
            "pivot_price": self.price,
            "direction": self.direction,
            "visible_time": self.visible_time,
            "window": self.window,
            "pivot_idx": self.ordinal,
        }


Extremes = deque[tuple[int, float]]


@dataclass(slots=True)
class Window:
    """The candles around a centre, reduced to those that can still become the extreme.

    `highs` and `lows` hold (ordinal, height) with heights falling from left to right; lows are
    negated, so that one rule serves both. The first entry is the window's earliest extreme.
    """

    size: int
    timeframe: Timeframe
    highs: Extremes = field(default_factory=deque)
    lows: Extremes = field(default_factory=deque)

    def push(self, index: int, high: float, low: float) -> None:
        """Add a candle and remove the one that leaves the window."""
        highs, lows = self.highs, self.lows
        while highs and highs[-1][1] < high:
            highs.pop()
        highs.append((index, high))
        while lows and lows[-1][1] < -low:
            lows.pop()
        lows.append((index, -low))
        oldest = index - 2 * self.size
        if highs[0][0] < oldest:
            highs.popleft()
        if lows[0][0] < oldest:
            lows.popleft()


@dataclass(slots=True)
class PivotState:
    """The number of candles taken, the newest of them, and the majors the newest confirmed."""

    major: Window
    minor: Window
    recent: deque[Candle]
    count: int = 0
    last_major: int = -1
    majors: tuple[Pivot, ...] = ()


def initial(setup: Setup) -> PivotState:
    """The state before the first candle."""
    parameters: PivotParameters = setup.parameters[SPEC.name]
    major, minor = parameters.window_major, parameters.window_minor
    return PivotState(
        major=Window(major, setup.timeframe),
        minor=Window(minor, setup.timeframe),
        recent=deque(maxlen=max(major, minor) + 1),
    )


def step(state: PivotState, candle: Candle, upstream: Mapping[str, Any]) -> Outcome | None:
    """Take one candle; report the pivots it confirms."""
    time, _, high, low, _, _ = candle
    index = state.count
    state.count = index + 1
    state.recent.append(candle)
    state.major.push(index, high, low)
    state.minor.push(index, high, low)
    state.majors = majors = _majors(state, index, time)
    if majors:
        state.last_major = majors[-1].ordinal
    minors = _minors(state, index, time)
    if not majors and not minors:
        return None
    events = [_event("major", pivot) for pivot in majors]
    return Outcome(events + [_event("minor", pivot) for pivot in minors])


def _majors(state: PivotState, index: int, time: int) -> tuple[Pivot, ...]:
    window = state.major
    centre = index - window.size
    high, low = window.highs[0][0] == centre, window.lows[0][0] == centre
    # The cheap test first: most candles are not the centre of anything.
    if not (high or low) or centre < window.size:
        return ()
    return _confirmed(state, window, time, high=high, low=low)


def _minors(state: PivotState, index: int, time: int) -> tuple[Pivot, ...]:
    window = state.minor
    if not 0 <= state.last_major <= index - 2 * window.size:
        return ()
    centre = state.recent[-1 - window.size]
    high, low = centre.high >= window.highs[0][1], -centre.low >= window.lows[0][1]
    if not (high or low):
        return ()
    return _confirmed(state, window, time, high=high, low=low)


def _confirmed(
    state: PivotState, window: Window, time: int, *, high: bool, low: bool
) -> tuple[Pivot, ...]:
    """The pivots at the window's centre, if that opened exactly one window before `time`."""
    centre = state.recent[-1 - window.size]
    if centre.candle_time != window.timeframe.moved(time, -window.size):
        return ()
    sides = [(RESISTANCE, centre.high)] * high + [(SUPPORT, centre.low)] * low
    return tuple(
        Pivot(
            time=centre.candle_time,
            price=price,
            direction=direction,
            visible_time=time,
            window=window.size,
            ordinal=state.count - 1 - window.size,
            high=centre.high,
            low=centre.low,
        )
        for direction, price in sides
    )


def _event(size: str, pivot: Pivot) -> Event:
    return Event(
        SPEC.name,
        f"pivot.{size}",
        pivot.visible_time,
        f"{size}:{pivot.time}:{pivot.direction}:{pivot.window}",
        pivot.payload(),
    )


def freeze(state: PivotState) -> Any:
    """The state as JSON values."""
    return {
        "count": state.count,
        "last_major": state.last_major,
        "recent": list(state.recent),
        "extremes": [
            list(extremes)
            for window in (state.major, state.minor)
            for extremes in (window.highs, window.lows)
        ],
    }


def thaw(data: Any, setup: Setup, past: PastCandles) -> PivotState:
    """The state that was frozen."""
    state = initial(setup)
    state.count = data["count"]
    state.last_major = data["last_major"]
    state.recent.extend(Candle(*candle) for candle in data["recent"])
    windows = (state.major.highs, state.major.lows, state.minor.highs, state.minor.lows)
    for extremes, saved in zip(windows, data["extremes"], strict=True):
        extremes.extend((index, height) for index, height in saved)
    return state


def read(history: History, head: Payload | None) -> Slice | None:
    """The slice: pivots of both sizes, once there is a major one. There is no head."""
    majors = history.of("pivot.major", "visible_time", "pivot_time")
    if not majors:
        return None
    return Slice({"major": majors, "minor": history.of("pivot.minor")}, {})


SPEC = FactorSpec(
    name="pivot",
    version=1,
    kinds=("pivot.major", "pivot.minor"),
    label="Pivot",
    translations={CHINESE: Words("枢轴点")},
    features=(
        Feature(
            "pivot.major",
            "Major",
            description="A high or low that its neighbours do not reach",
            translations={CHINESE: Words("主要", "相邻K线都未达到的高点或低点")},
        ),
        Feature(
            "pivot.minor",
            "Minor",
            False,
            description="A high or low that its nearest neighbours do not reach",
            translations={CHINESE: Words("次要", "最近的相邻K线都未达到的高点或低点")},
        ),
    ),
    parameters=PivotParameters(),
    initial=initial,
    step=step,
    freeze=freeze,
    thaw=thaw,
    read=read,
)
