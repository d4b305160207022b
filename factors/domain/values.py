"""The values that factors take and return.

Payloads and heads are plain mappings ready for JSON. They are shared (a snapshot's levels are in
its event and in its head), so they must never be changed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from market.domain.candle import Candle
from market.domain.timeframe import Timeframe

Payload = Mapping[str, Any]


class Event(NamedTuple):
    """A fact that became visible with the candle that opened at `candle_time` (Unix seconds).

    `event_key` identifies it among all events of its series and factor. Its payload's
    `visible_time` is the candle's time, too.
    """

    factor: str
    kind: str
    candle_time: int
    event_key: str
    payload: Payload


class Head(NamedTuple):
    """A factor's head from the candle at `candle_time` on, until its next head."""

    factor: str
    candle_time: int
    head: Payload


class Outcome(NamedTuple):
    """What one factor reports for one candle; `head` is None when it did not change."""

    events: Sequence[Event]
    head: Payload | None = None


class StepResult(NamedTuple):
    """What one candle adds to the factor ledger: events in ledger order, heads that changed."""

    candle_time: int
    events: Sequence[Event]
    heads: Sequence[Head]


class Setup(NamedTuple):
    """What a factor's state is made from: all factors' parameters by name, and the timeframe."""

    parameters: Mapping[str, Any]
    timeframe: Timeframe


ReadCandles = Callable[[int, int], Sequence[Candle]]
"""Stored candles between two open times, both inclusive, ascending and all of them."""


class PastCandles(NamedTuple):
    """Access to the candles up to `until`, for what a saved state does not contain."""

    read: ReadCandles
    until: int


class StateError(ValueError):
    """A saved state that can't be continued: other logic wrote it, or its candles changed."""


class History:
    """The events that a slice may show: those in its window, visible at its time, by kind."""

    def __init__(self, events: Iterable[Event], at_time: int) -> None:
        self._by_kind: dict[str, list[Payload]] = {}
        for event in events:
            # Its payload has the same time, but need not be parsed for it.
            if event.candle_time <= at_time:
                self._by_kind.setdefault(event.kind, []).append(event.payload)

    def of(self, kind: str, *order: str) -> list[Payload]:
        """Payloads of one kind: in ledger order, or sorted (stably) by these fields."""
        found = self._by_kind.get(kind, [])
        if not order:
            return found
        return sorted(found, key=lambda payload: tuple(payload[field] for field in order))

    def renamed(self, rename: Callable[[str], str | None]) -> History:
        """The same events under other kinds, without those whose kind becomes None."""
        seen = History((), 0)
        named = ((rename(kind), payloads) for kind, payloads in self._by_kind.items())
        seen._by_kind = {kind: payloads for kind, payloads in named if kind is not None}
        return seen


class Slice(NamedTuple):
    """A factor at one time: facts that never change, and state that may still change."""

    history: Payload
    head: Payload
