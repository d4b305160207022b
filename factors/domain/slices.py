"""The slices of factors at one time, in the form of the contract.

Nothing is computed here: a slice shows the events visible by then, and the newest head at or
before.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from factors.domain.graph import FactorSpec
from factors.domain.values import Event, History, Payload, Slice
from market.domain.series import SeriesId
from market.domain.timeframe import Timeframe

SCHEMA_VERSION = 1

LONGEST_WINDOW = 5_000
"""Candles that a read may ask to show at most."""

EVENT_LIMIT = 20_000
"""Most events of the window that a slice shows; the oldest come first."""


def window_start(at_time: int, window_candles: int, timeframe: Timeframe) -> int:
    """The earliest candle time whose events a slice at `at_time` shows (Unix seconds)."""
    return max(0, at_time - window_candles * timeframe.seconds)


def head_at(spec: FactorSpec, head: Payload | None, at_time: int) -> Payload | None:
    """A stored head as it reads at `at_time`, before the next head begins."""
    return None if head is None else spec.carry(head, at_time)


def slices(
    specs: Iterable[FactorSpec],
    series: SeriesId,
    *,
    at_time: int,
    events: Iterable[Event],
    heads: Mapping[str, Payload],
) -> dict[str, dict[str, Any]]:
    """The envelopes of all factors that have something to show, in the order of `specs`.

    `at_time` is the open time of a stored candle. `events` are those of the window in ledger
    order, at most EVENT_LIMIT; `heads` the newest of each factor at or before `at_time`.
    """
    history = History(events, at_time)
    found: dict[str, dict[str, Any]] = {}
    for spec in specs:
        seen = spec.read(history, head_at(spec, heads.get(spec.name), at_time))
        if seen is not None:
            found[spec.name] = snapshot(series, spec.name, at_time, seen)
    return found


def snapshot(series: SeriesId, factor: str, at_time: int, seen: Slice) -> dict[str, Any]:
    """The slice of one factor at a candle, in its wire format."""
    return {
        "schema_version": SCHEMA_VERSION,
        "history": seen.history,
        "head": seen.head,
        "meta": {
            "series_id": str(series),
            "epoch": 0,
            "at_time": at_time,
            "candle_id": series.candle_id(at_time),
            "factor_name": factor,
        },
    }


def envelope(
    series: SeriesId, at_time: int, *, candle_id: str | None, found: Mapping[str, Any]
) -> dict[str, Any]:
    """The slices of all factors at a candle, in their wire format."""
    return {
        "schema_version": SCHEMA_VERSION,
        "series_id": str(series),
        "at_time": at_time,
        "candle_id": candle_id,
        "factors": list(found),
        "snapshots": found,
    }
