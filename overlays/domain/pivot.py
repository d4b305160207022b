"""Drawings of pivots: one mark each. Defined in the overlay contract, section 3.1."""

from __future__ import annotations

from typing import Any

from factors.domain.pivot import RESISTANCE
from factors.domain.values import Payload
from overlays.domain.instruction import Definition, marker
from overlays.domain.renderer import FactorStep, RendererSpec, Sheet

MAJOR = "pivot.major"
MINOR = "pivot.minor"

# Colour of a resistance, colour of a support, size.
LOOKS = {
    MAJOR: ("#ef4444", "#22c55e", 1.0),
    MINOR: ("rgba(239,68,68,0.6)", "rgba(34,197,94,0.6)", 0.5),
}


def step(_: Any, new: FactorStep, sheet: Sheet) -> None:
    """Mark the pivots that this candle confirmed."""
    for event in new.events:
        if event.kind in LOOKS:
            sheet.add(_id(event.kind, event.payload), _mark(event.kind, event.payload))


def _id(feature: str, pivot: Payload) -> str:
    return f"{feature}:{pivot['pivot_time']}:{pivot['direction']}:{pivot['window']}"


def _mark(feature: str, pivot: Payload) -> Definition:
    above, below, size = LOOKS[feature]
    resistance = pivot["direction"] == RESISTANCE
    return marker(
        feature,
        pivot["pivot_time"],
        position="aboveBar" if resistance else "belowBar",
        color=above if resistance else below,
        shape="circle",
        text="",
        size=size,
    )


SPEC = RendererSpec(factor="pivot", version=1, features=(MAJOR, MINOR), step=step)
