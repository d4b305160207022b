"""What factors say: events that stay, heads that may still change, and what one candle gave.

Payloads and heads are plain mappings ready for JSON. They are shared freely (a snapshot's levels
are in its event and in its head), so nobody may change one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from market.domain.candle import Candle
from market.domain.timeframe import Timeframe

Payload = Mapping[str, Any]


class Event(NamedTuple):
    """A fact that became visible with the candle that opened at `candle_time` (Unix seconds).

    `event_key` names it among all events of its series and factor. Its payload's `visible_time` is
    the candle's time, too.
    """

    factor: str
    kind: str
    candle_time: int
    event_key: str
    payload: Payload


class Head(NamedTuple):
    """A factor's head as it is from the candle at `candle_time` on, until its next head."""

    factor: str
    candle_time: int
    head: Payload


class Outcome(NamedTuple):
    """What one factor made of one candle; `head` is None when it did not change."""

    events: Sequence[Event]
    head: Payload | None = None


class StepResult(NamedTuple):
    """What one candle adds to the factor ledger: events in ledger order, heads that changed."""

    candle_time: int
    events: Sequence[Event]
    heads: Sequence[Head]


class Setup(NamedTuple):
    """What a factor starts with: every factor's parameters by name, and the timeframe."""

    parameters: Mapping[str, Any]
    timeframe: Timeframe


ReadCandles = Callable[[int, int], Sequence[Candle]]
"""Stored candles between two open times, both inclusive, ascending and all of them."""


class Past(NamedTuple):
    """How a restored state reads again what it does not carry: candles up to `until`."""

    read: ReadCandles
    until: int


class StateError(ValueError):
    """A saved state that can't be continued: written by other logic, or its candles changed."""


class History:
    """The events that a slice may show: those in its window, visible at its time, by kind."""

    def __init__(self, events: Iterable[Event], at_time: int) -> None:
        self._by_kind: dict[str, list[Payload]] = {}
        for event in events:
            # Not by its payload, which need not be parsed for that.
            if event.candle_time <= at_time:
                self._by_kind.setdefault(event.kind, []).append(event.payload)

    def of(self, kind: str, *order: str) -> list[Payload]:
        """Payloads of one kind: in ledger order, or sorted (stably) by these fields."""
        found = self._by_kind.get(kind, [])
        if not order:
            return found
        return sorted(found, key=lambda payload: tuple(payload[field] for field in order))


class Slice(NamedTuple):
    """A factor at one time: facts that stay and state that may still change."""

    history: Payload
    head: Payload
