"""What rules find in a batch: facts of its new candles, and prices that cross a level.

Everything here is a function of the rule, the series and its candles, so that a batch that is
written again, by any process, has alerts of the same ids.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import orjson

from factors.alerts.rules import BROKEN, FORMED, PRICE, Direction, Rule
from factors.domain.values import Payload, StepResult
from market.domain.candle import Candle
from market.domain.series import SeriesId

ONCE = "once"
HELD = ("active", "flip")
PriceBefore = Callable[[], float | None]
LevelsBefore = Callable[[int], Sequence[Payload]]


class Fact(NamedTuple):
    """Something that became visible with a candle; `key` identifies it within series and kind."""

    kind: str
    candle_time: int
    key: str
    data: Payload


class Alert(NamedTuple):
    """A fact that a rule looked for."""

    id: str
    rule: Rule
    fact: Fact


def alerts_of(rules: Iterable[Rule], series: SeriesId, facts: Iterable[Fact]) -> list[Alert]:
    """The alerts that the rules make of facts, in the order of the facts."""
    return [
        Alert(alert_id(rule, series, fact), rule, fact)
        for fact in facts
        for rule in rules
        if fact.kind in rule.kinds
    ]


def alert_id(rule: Rule, series: SeriesId, fact: Fact) -> str:
    """The id of an alert. A rule that fires once has one id for each series."""
    what = [ONCE, rule.active_from] if rule.once else [fact.kind, fact.key]
    text = orjson.dumps([rule.uid, str(series), *what])
    return hashlib.blake2b(text, digest_size=16).hexdigest()


def crossings(
    rule: Rule, series: SeriesId, candles: Iterable[Candle], before: float | None
) -> Iterator[Alert]:
    """The alerts of a rule about a price, where `before` is the close before the first candle."""
    level = rule.level
    if level is None:
        return
    for candle in candles:
        fact = None if before is None else _crossing(rule, level, candle, before)
        if fact is not None:
            yield Alert(alert_id(rule, series, fact), rule, fact)
        before = candle.close


def _crossing(rule: Rule, level: float, candle: Candle, before: float) -> Fact | None:
    highest, lowest = (candle.high, candle.low) if rule.touch else (candle.close, candle.close)
    if before < level <= highest:
        direction = Direction.UP
    elif before > level >= lowest:
        direction = Direction.DOWN
    else:
        return None
    if rule.direction not in (direction, Direction.BOTH):
        return None
    data = {
        "level": level,
        "direction": direction.value,
        "by": "touch" if rule.touch else "close",
        "previous_close": before,
        "open": candle.open,
        "high": candle.high,
        "low": candle.low,
        "close": candle.close,
    }
    time = candle.candle_time
    return Fact(PRICE, time, f"crossed:{time}:{direction.value}", data)


def facts_of(
    steps: Iterable[StepResult], wanted: frozenset[str], levels_before: LevelsBefore
) -> Iterator[Fact]:
    """The facts of the wanted kinds in the steps.

    `levels_before` returns the levels of the newest snapshot before a candle, for BROKEN alone.
    """
    levels: Sequence[Payload] | None = None
    for step in steps:
        for event in step.events:
            if event.kind in wanted:
                yield Fact(event.kind, event.candle_time, event.event_key, event.payload)
            if BROKEN in wanted and event.kind == "sr.snapshot":
                now = event.payload["levels"]
                if any(level["status"] == "broken" for level in now):
                    before = levels_before(step.candle_time) if levels is None else levels
                    yield from _broken(step.candle_time, before, now)
                levels = now
        if FORMED in wanted:
            yield from _formed(step)


def _formed(step: StepResult) -> Iterator[Fact]:
    """The zones that formed with a candle.

    The factor reports a head when a zone forms or dies (contract 9.5): a head with a zone is of
    one that formed just now. Two pens of one candle may also let a zone form and die.
    """
    zones = [
        event.payload
        for event in step.events
        if event.kind == "zhongshu.dead" and event.payload["formed_time"] == step.candle_time
    ]
    zones += [
        zone for head in step.heads if head.factor == "zhongshu" for zone in head.head["alive"]
    ]
    for zone in zones:
        data: dict[str, Any] = {
            name: zone[name]
            for name in ("start_time", "zg", "zd", "entry_direction", "formed_time")
        }
        data |= {"formed_reason": zone["formed_reason"], "visible_time": step.candle_time}
        key = (
            f"formed:{zone['start_time']}:{zone['formed_time']}"
            f":{zone['zg']:.8f}:{zone['zd']:.8f}:{zone['formed_reason']}"
        )
        yield Fact(FORMED, step.candle_time, key, data)


def _broken(time: int, before: Iterable[Payload], now: Iterable[Payload]) -> Iterator[Fact]:
    """The levels that held in the snapshot before and are broken in this one."""
    held = {_identity(level) for level in before if level["status"] in HELD}
    for level in now:
        if level["status"] == "broken" and _identity(level) in held:
            kind, last_time = _identity(level)
            key = f"broken:{kind}:{level['price']:.8f}:{last_time}"
            yield Fact(BROKEN, time, key, {**level, "visible_time": time})


def _identity(level: Mapping[str, Any]) -> tuple[str, int]:
    """What a level keeps from snapshot to snapshot: its kind, and the pivot it was found from."""
    return level["level_type"], level["last_time"]
