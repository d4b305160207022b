"""The facts of each factor at a candle, and the candles that these facts name.

Works for any factor: in payloads and heads every field whose name ends with `time` names a candle.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from factors.domain.graph import FactorSpec
from factors.domain.ledger import FactorLedger
from factors.domain.slices import EVENT_LIMIT, head_at, window_start
from factors.domain.values import Event, Payload
from market.domain.candle import Candle
from market.domain.series import SeriesId
from market.domain.store import CandleStore

MOST_CANDLES = 12
MOST_TEXT = 400


class Cause(NamedTuple):
    """A candle that facts name, and the fields that name it."""

    candle: Candle
    roles: tuple[str, ...]


class Explanation(NamedTuple):
    """One factor at a time.

    `latest` are the newest events of each kind by then, `head` is the state then, `causes` are the
    candles that both name, newest first.
    """

    factor: str
    depends_on: tuple[str, ...]
    latest: tuple[Event, ...]
    head: Payload | None
    causes: tuple[Cause, ...]


class NotThere(Exception):
    """There is no candle, or no ledger, at that time."""


def explain(
    series: SeriesId,
    at_time: int,
    *,
    factors: Iterable[FactorSpec],
    ledger: FactorLedger,
    store: CandleStore,
    window_candles: int,
) -> tuple[int, list[Explanation]]:
    """The aligned time and every factor's explanation; raises NotThere."""
    time = store.floor(series, at_time)
    if time is None:
        raise NotThere("no candle is stored at or before that time")
    start = window_start(time, window_candles, series.timeframe)
    view = ledger.view(series, start=start, at_time=time, limit=EVENT_LIMIT)
    if view.position is None or view.position.head_time < time:
        raise NotThere("the factor ledger has not reached that candle: run manage.py rebuild")
    found = []
    for spec in factors:
        latest = {event.kind: event for event in view.events if event.factor == spec.name}
        head = head_at(spec, view.heads.get(spec.name), time)
        facts = {event.kind: event.payload for event in latest.values()} | {"head": head}
        causes = tuple(_causes(facts, series, store))
        found.append(Explanation(spec.name, spec.depends_on, (*latest.values(),), head, causes))
    return time, found


def brief(payload: Payload | None) -> str:
    """A payload in one line, shortened if it is long."""
    text = json.dumps(payload, default=dict)
    return text if len(text) <= MOST_TEXT else f"{text[:MOST_TEXT]}…"


def _causes(facts: Mapping[str, Any], series: SeriesId, store: CandleStore) -> Iterator[Cause]:
    roles: dict[int, dict[str, None]] = {}
    for name, payload in facts.items():
        for role, time in _times(payload, name):
            roles.setdefault(time, {})[role] = None
    for time in sorted(roles, reverse=True)[:MOST_CANDLES]:
        for candle in store.read_range(series, time, time, limit=1):
            yield Cause(candle, tuple(roles[time]))


def _times(value: Any, path: str) -> Iterator[tuple[str, int]]:
    """Every field that names a candle, at any depth, with its path."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            if name.endswith("time") and isinstance(inner, int):
                yield f"{path}.{name}", inner
            elif name.endswith("times"):
                yield from ((f"{path}.{name}", time) for time in inner)
            else:
                yield from _times(inner, f"{path}.{name}")
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _times(inner, path)
