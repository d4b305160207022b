"""Whether drawings and factors agree in what a window shows.

Defined in the overlay contract, section 6. Both come from the same stored heads and events, so a
difference means that a ledger was damaged or written by other logic.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from factors.domain.values import Payload
from overlays.domain.anchor import CURRENT
from overlays.domain.instruction import Definition, InstructionVersion, span_of
from overlays.domain.versions import VersionReader
from overlays.domain.zhongshu import ALIVE_BOTTOM, ALIVE_TOP, dead_ids

ANCHOR_START = "anchor.current.start"
ZHONGSHU_SIGNATURE = "zhongshu.signature"

MOST_NAMED = 5
"""Wrong drawings that a reason names."""


class Check(NamedTuple):
    """A check of drawings: its name, whether they have to be made again, and what is wrong."""

    plugin: str
    should_rebuild: bool
    reason: str


class Facts(NamedTuple):
    """The facts that are checked, from the factor slices of one candle.

    `anchors` holds the current anchor (None while there is none yet); it is empty when there is no
    slice of the anchor.
    """

    anchors: tuple[Payload | None, ...]
    dead: tuple[Payload, ...]
    alive: tuple[Payload, ...]


def facts_of(slices: Mapping[str, Mapping[str, Any]]) -> Facts:
    """The checked facts of the slices, given by factor name."""
    anchor, zhongshu = slices.get("anchor"), slices.get("zhongshu")
    return Facts(
        () if anchor is None else (anchor["head"]["current_anchor_ref"],),
        () if zhongshu is None else tuple(zhongshu["history"]["dead"]),
        () if zhongshu is None else tuple(zhongshu["head"]["alive"]),
    )


def checks_of(
    facts: Facts, versions: VersionReader, *, to_time: int, cutoff: int
) -> tuple[Check, ...]:
    """All checks at the candle `to_time`; none says rebuild when the ledgers agree.

    Zones are compared only if the window from `cutoff` to `to_time` (both inclusive) shows them.
    """
    shown = {
        version.instruction_id: version.definition
        for version in versions.newest(to_time, cutoff=cutoff)
        if version.instruction_id.startswith("zhongshu.")
        and _in_window(version.definition, cutoff, to_time=to_time)
    }
    checks = [_zhongshu(facts, shown, cutoff)]
    for anchor in facts.anchors:
        checks.append(_anchor(anchor, versions.newest_of(CURRENT, to_time)))
    return tuple(checks)


def _in_window(definition: Definition, cutoff: int, *, to_time: int) -> bool:
    span = span_of(definition)
    return span is not None and span.meets(cutoff, to_time)


def _anchor(anchor: Payload | None, version: InstructionVersion | None) -> Check:
    expected = None if anchor is None else anchor["start_time"]
    drawn = None if version is None or not version.definition else _start(version.definition)[0]
    is_wrong = expected != drawn
    reason = f"expected {expected}, drawn {drawn}" if is_wrong else ""
    return Check(ANCHOR_START, is_wrong, reason)


def _zhongshu(facts: Facts, shown: Mapping[str, Definition], cutoff: int) -> Check:
    """The ids of dead zones, and start and price of the edges of the one that is alive."""
    expected = dict(_alive(facts.alive))
    for zone in facts.dead:
        if zone["end_time"] >= cutoff:
            expected.update(dict.fromkeys(dead_ids(zone)))
    drawn = {
        name: _start(definition) if name in (ALIVE_TOP, ALIVE_BOTTOM) else None
        for name, definition in shown.items()
    }
    wrong = list(_differences(expected, drawn))
    return Check(ZHONGSHU_SIGNATURE, bool(wrong), "; ".join(wrong[:MOST_NAMED]))


def _differences(expected: Mapping[str, Any], drawn: Mapping[str, Any]) -> Iterator[str]:
    for name in sorted(expected.keys() | drawn.keys()):
        if name not in drawn:
            yield f"{name} is missing"
        elif name not in expected:
            yield f"{name} should be gone"
        elif expected[name] != drawn[name]:
            yield f"{name} starts at {drawn[name]}, not {expected[name]}"


def _alive(alive: Iterable[Payload]) -> Iterator[tuple[str, tuple[int, float] | None]]:
    for zone in alive:
        yield ALIVE_TOP, (zone["start_time"], zone["zg"])
        yield ALIVE_BOTTOM, (zone["start_time"], zone["zd"])


def _start(definition: Definition) -> tuple[int, float]:
    first = definition["points"][0]
    return first["time"], first["value"]
