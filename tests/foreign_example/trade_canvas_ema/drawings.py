"""Drawings of ema: a line, and an arrow at each cross."""

from __future__ import annotations

from typing import Any

from overlays.domain.instruction import line, marker
from overlays.domain.renderer import FactorStep, RendererSpec, Sheet

LINE = line("ema.line", color="amber", width=2)


def step(_: Any, new: FactorStep, sheet: Sheet) -> None:
    """Give the line a point where the average moved, and mark a cross."""
    for cross in new.payloads("ema.cross"):
        rises = cross["direction"] > 0
        arrow = marker(
            "ema.cross",
            cross["visible_time"],
            position="belowBar" if rises else "aboveBar",
            color="up" if rises else "down",
            shape="arrowUp" if rises else "arrowDown",
            text="",
            size=0.8,
        )
        sheet.add(f"ema.cross:{cross['visible_time']}", arrow)
    head = new.heads.get("ema")
    if head is not None:
        sheet.extend("ema.line", LINE, head["average"])


SPEC = RendererSpec(factor="ema", version=1, features=("ema.line", "ema.cross"), step=step)
