"""Drawings of pivots: one mark each. Defined in the overlay contract, section 3.1."""

from __future__ import annotations

from typing import Any

from factors.domain.pivot import RESISTANCE
from overlays.domain.instruction import marker
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
    for _, kind, _, _, pivot in new.events:
        if kind in LOOKS:
            above, below, size = LOOKS[kind]
            time, direction = pivot["pivot_time"], pivot["direction"]
            resistance = direction == RESISTANCE
            mark = marker(
                kind,
                time,
                position="aboveBar" if resistance else "belowBar",
                color=above if resistance else below,
                shape="circle",
                text="",
                size=size,
            )
            sheet.add(f"{kind}:{time}:{direction}:{pivot['window']}", mark)


SPEC = RendererSpec(factor="pivot", version=1, features=(MAJOR, MINOR), step=step)
