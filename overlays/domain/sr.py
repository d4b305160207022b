"""Drawings of support and resistance: a line for each level of the newest snapshot.

Defined in the overlay contract, section 4.5. A level that is not broken extends to the newest
candle by itself, and its id names the level, so it needs no new version while it holds.
"""

from __future__ import annotations

from typing import Any

from factors.domain.pivot import RESISTANCE
from factors.domain.sr_levels import BROKEN
from factors.domain.values import Payload
from overlays.domain.instruction import Definition, polyline
from overlays.domain.renderer import FactorStep, RendererSpec, Sheet

ACTIVE = "sr.active"
GONE = "sr.broken"

RESISTANCE_COLOR = "#ef4444"
SUPPORT_COLOR = "#22c55e"
BROKEN_COLOR = "rgba(148,163,184,0.6)"
ACTIVE_WIDTH = 2
BROKEN_WIDTH = 1


def step(_: Any, new: FactorStep, sheet: Sheet) -> None:
    """Draw the levels of this candle's snapshot, if it took one."""
    for snapshot in new.payloads("sr.snapshot"):
        drawings: dict[str, Definition] = {}
        for level in snapshot["levels"]:
            if level["price"] > 0:
                # Two levels may share price and start; the one nearer to the price comes first.
                drawings.setdefault(_id(level), _line(level))
        sheet.replace("sr", drawings)


def _id(level: Payload) -> str:
    feature = GONE if level["status"] == BROKEN else ACTIVE
    return f"{feature}:{level['level_type']}:{level['price']:.8f}:{level['first_time']}"


def _line(level: Payload) -> Definition:
    start, price = level["first_time"], level["price"]
    if level["status"] == BROKEN:
        points = [(start, price), (level["death_time"], price)]
        return polyline(GONE, points, color=BROKEN_COLOR, width=BROKEN_WIDTH, dashed=True)
    color = RESISTANCE_COLOR if level["level_type"] == RESISTANCE else SUPPORT_COLOR
    points = [(start, price), (level["last_time"], price)]
    return polyline(ACTIVE, points, color=color, width=ACTIVE_WIDTH, extend_right=True)


SPEC = RendererSpec(factor="sr", version=1, features=(ACTIVE, GONE), step=step)
