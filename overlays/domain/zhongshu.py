"""Drawings of zhongshus: upper and lower edge of the one that is alive and of every dead one.

Defined in the overlay contract, sections 4.2 and 4.3. The edges of the one that is alive extend to
the newest candle by themselves, so they need no new version until it dies.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from factors.domain.values import Payload
from overlays.domain.instruction import Definition, polyline
from overlays.domain.renderer import FactorStep, RendererSpec, Sheet

ALIVE = "zhongshu.alive"
DEAD = "zhongshu.dead"
ALIVE_TOP = f"{ALIVE}:top"
ALIVE_BOTTOM = f"{ALIVE}:bottom"

# By entry direction: up, down.
ALIVE_COLORS = {1: "rgba(22,163,74,0.72)", -1: "rgba(220,38,38,0.72)"}
DEAD_COLORS = {1: "rgba(74,222,128,0.58)", -1: "rgba(248,113,113,0.58)"}
LINE_WIDTH = 2


def step(_: Any, new: FactorStep, sheet: Sheet) -> None:
    """Draw the zones that died with this candle, and the one that is alive after it."""
    for zone in new.payloads(DEAD):
        for name, price in zip(dead_ids(zone), (zone["zg"], zone["zd"]), strict=True):
            sheet.add(name, _dead(zone, price))
    head = new.heads.get("zhongshu")
    if head is not None:
        sheet.replace("zhongshu", dict(_edges(head)))


def dead_ids(zone: Payload) -> tuple[str, str]:
    """The ids of a dead zone's upper and lower edge."""
    name = f"{DEAD}:{zone['start_time']}:{zone['end_time']}:{zone['zg']:.6f}:{zone['zd']:.6f}"
    return f"{name}:top", f"{name}:bottom"


def _edges(head: Payload) -> Iterator[tuple[str, Definition]]:
    for zone in head["alive"]:
        yield ALIVE_TOP, _alive(zone, zone["zg"])
        yield ALIVE_BOTTOM, _alive(zone, zone["zd"])


def _alive(zone: Payload, price: float) -> Definition:
    """An edge up to where the zone formed: a time that never changes, unlike the zone's end."""
    return polyline(
        ALIVE,
        [(zone["start_time"], price), (zone["formed_time"], price)],
        color=ALIVE_COLORS[zone["entry_direction"]],
        width=LINE_WIDTH,
        entry_direction=zone["entry_direction"],
        extend_right=True,
    )


def _dead(zone: Payload, price: float) -> Definition:
    return polyline(
        DEAD,
        [(zone["start_time"], price), (zone["end_time"], price)],
        color=DEAD_COLORS[zone["entry_direction"]],
        width=LINE_WIDTH,
        entry_direction=zone["entry_direction"],
    )


SPEC = RendererSpec(factor="zhongshu", version=1, features=(ALIVE, DEAD), step=step)
