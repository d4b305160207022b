"""EMA: the exponential moving average of closes, and where closes cross it.

The first close is the first average. After that each candle moves it by 2 / (length + 1) of the
distance to the close. A close on the other side of the average than the one before is a cross.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from factors.domain.graph import FactorSpec, Feature
from factors.domain.looks import CHINESE, Words
from factors.domain.values import Event, History, Outcome, PastCandles, Payload, Setup, Slice
from market.domain.candle import Candle


@dataclass(frozen=True, slots=True)
class EmaParameters:
    """Over how many candles it is smoothed."""

    length: int = 20

    def __post_init__(self) -> None:
        if self.length < 1:
            raise ValueError("an average is of at least one candle")


@dataclass(slots=True)
class EmaState:
    """The average, and the side of it on which the last close was (1 above, -1 below)."""

    weight: float
    average: float | None = None
    side: int = 0


def initial(setup: Setup) -> EmaState:
    """The state before the first candle."""
    parameters: EmaParameters = setup.parameters[SPEC.name]
    return EmaState(2 / (parameters.length + 1))


def step(state: EmaState, candle: Candle, upstream: Mapping[str, Any]) -> Outcome | None:
    """Take one candle; report the average if it moved, and a cross."""
    before, close = state.average, candle.close
    state.average = close if before is None else before + state.weight * (close - before)
    side = (close > state.average) - (close < state.average)
    crosses = side * state.side < 0
    state.side = side or state.side
    events = []
    if crosses:
        time = candle.candle_time
        payload = {"direction": side, "price": close, "visible_time": time}
        events = [Event(SPEC.name, "ema.cross", time, f"cross:{time}", payload)]
    if state.average == before and not events:
        return None
    return Outcome(events, {"average": state.average} if state.average != before else None)


def freeze(state: EmaState) -> Any:
    """The state as JSON values."""
    return asdict(state)


def thaw(data: Any, setup: Setup, past: PastCandles) -> EmaState:
    """The state that was frozen."""
    return EmaState(**data)


def read(history: History, head: Payload | None) -> Slice | None:
    """The slice: the crosses of the window, and the average."""
    return None if head is None else Slice({"crosses": history.of("ema.cross")}, head)


SPEC = FactorSpec(
    name="ema",
    version=1,
    label="EMA",
    translations={CHINESE: Words("指数均线")},
    features=(
        Feature("ema.line", "Line", description="The exponential moving average of closes"),
        Feature("ema.cross", "Crosses", description="The close crossed the average"),
    ),
    kinds=("ema.cross",),
    parameters=EmaParameters(),
    initial=initial,
    step=step,
    freeze=freeze,
    thaw=thaw,
    read=read,
)
