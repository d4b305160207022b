"""A factor for tests, with a drawing of each kind that no factor of ours has: lines, box, label."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from factors.domain.graph import FactorSpec, Feature
from factors.domain.values import Outcome, Slice
from market.domain.candle import Candle
from overlays.domain.instruction import box, label, line
from overlays.domain.renderer import FactorStep, RendererSpec, Sheet

VALUE, LEG, RANGE, TURN = "sample.value", "sample.leg", "sample.range", "sample.turn"
SPAN = 3


@dataclass(slots=True)
class Mean:
    """The newest closes."""

    closes: list[float] = field(default_factory=list)


def step(mean: Mean, candle: Candle, upstream: Mapping[str, Any]) -> Outcome:
    """Every candle changes the head."""
    mean.closes = [*mean.closes, candle.close][-SPAN:]
    value = sum(mean.closes) / len(mean.closes)
    return Outcome([], {"value": value, "close": candle.close, "whole": len(mean.closes) == SPAN})


FACTOR = FactorSpec(
    name="sample",
    version=1,
    label="Sample",
    features=tuple(Feature(key, key) for key in (VALUE, LEG, RANGE, TURN)),
    initial=lambda _: Mean(),
    step=step,
    freeze=asdict,
    thaw=lambda data, setup, past: Mean(**data),
    read=lambda history, head: None if head is None else Slice({}, head),
)


@dataclass(slots=True)
class Pencil:
    """Where the leg and the box began, and which way the mean went."""

    leg: str | None = None
    began: tuple[int, float] | None = None
    before: float | None = None
    rising: bool | None = None


def draw(state: Pencil, new: FactorStep, sheet: Sheet) -> None:
    """A line with holes that is withdrawn at times, and a leg, box and label for each turn."""
    head = new.heads["sample"]
    value, close = head["value"], head["close"]
    if close == 60.0:
        sheet.withdraw(VALUE)
    elif head["whole"] and close % 4:
        look = line(VALUE, color="up" if close > value else "down", width=2)
        sheet.extend(VALUE, look, value)
    rising = None if state.before in (None, value) else value > state.before
    if rising is not None and rising != state.rising:
        if state.leg is not None:
            sheet.end(state.leg)
        state.leg, state.began, state.rising = f"{LEG}:{new.time}", (new.time, value), rising
        text = label(TURN, state.began, "turn", color="text", place="above")
        sheet.add(f"{TURN}:{new.time}", text)
    if state.leg is not None:
        sheet.extend(state.leg, line(LEG, color="blue", dashed=True), value)
        corner = new.time, round(value)
        area = box(RANGE, state.began, corner, color="violet", extend_right=bool(rising))
        sheet.draw(RANGE, area)
    state.before = value


def thaw(data: Any, _: Any) -> Pencil:
    """The state that was frozen."""
    began = data.pop("began")
    return Pencil(began=None if began is None else tuple(began), **data)


RENDERER = RendererSpec(
    factor="sample",
    version=1,
    features=(VALUE, LEG, RANGE, TURN),
    initial=lambda _: Pencil(),
    step=draw,
    freeze=asdict,
    thaw=thaw,
)
