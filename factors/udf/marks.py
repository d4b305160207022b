"""Marks for charts that speak UDF: facts of factors at candles, gaps at the time scale."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, NamedTuple

from factors import runtime
from factors.domain.graph import FactorSpec, Feature
from factors.domain.values import Event
from factors.events import holds
from factors.udf.history import MOST_BARS
from market.domain.gaps import Gap
from market.domain.series import SeriesId
from market.runtime import candle_store

MOST_MARKS = 500
# A chart shows no more at one bar.
MOST_AT_A_BAR = 10
MARK_SIZE = 14

# The inks of docs/drawings.md in shades that both of a chart's themes show.
INKS = {
    "text": "#64748b",
    "muted": "#94a3b8",
    "up": "#22a06b",
    "down": "#e5484d",
    "blue": "#3b82f6",
    "teal": "#14b8a6",
    "violet": "#8b5cf6",
    "pink": "#ec4899",
    "amber": "#f59e0b",
}
DIRECTIONS = {"1": "up", "-1": "down", "resistance": "resistance", "support": "support"}
DEFAULT_COLOR = INKS["blue"]


class _Known(NamedTuple):
    """A kind of event that is marked, with its place in the catalog."""

    spec: FactorSpec
    feature: Feature


def marks(series: SeriesId, start: int, end: int) -> list[dict[str, Any]]:
    """The facts that became visible between two times, both inclusive; the newest. Blocking.

    Of a ledger that waits to be computed again there are none.
    """
    ledger = runtime.factor_ledger()
    epoch = candle_store().state(series).epoch
    at = ledger.position(series)
    if at is None:
        return []
    end = min(end, at.head_time)
    if not holds(at, series, end, epoch=epoch):
        return []
    return marked(runtime.engine().factors, ledger.events(series, _within(series, start, end), end))


def marked(specs: Iterable[FactorSpec], events: Iterable[Event]) -> list[dict[str, Any]]:
    """The marks of events: of kinds that the catalog names, and shows unless one hides them."""
    shown = {
        feature.key: _Known(spec, feature)
        for spec in specs
        for feature in spec.features
        if spec.default_visible and feature.default_visible
    }
    found = [event for event in events if event.kind in shown][-MOST_MARKS:]
    at_bar: Counter[int] = Counter()
    answer = []
    for event in found:
        at_bar[event.candle_time] += 1
        if at_bar[event.candle_time] <= MOST_AT_A_BAR:
            answer.append(_mark(event, shown[event.kind]))
    return answer


def gap_marks(series: SeriesId, start: int, end: int) -> list[dict[str, Any]]:
    """A mark at the first candle after each gap between two times; the newest. Blocking."""
    gaps = candle_store().gaps(series, _within(series, start, end), end)
    return [_gap_mark(series, gap) for gap in gaps[-MOST_MARKS:]]


def _within(series: SeriesId, start: int, end: int) -> int:
    """Not more than a chart can show, however much it asks for."""
    return max(start, end - MOST_BARS * series.timeframe.seconds)


def _mark(event: Event, known: _Known) -> dict[str, Any]:
    spec, feature = known
    direction = DIRECTIONS.get(str(event.payload.get("direction")))
    text = f"{spec.label}: {feature.label}"
    return {
        "id": f"{event.factor}:{event.event_key}",
        "time": event.candle_time,
        "color": _color(feature.look.color),
        "text": f"{text} ({direction})" if direction else text,
        "label": spec.label[:1].upper(),
        "labelFontColor": "#ffffff",
        "minSize": MARK_SIZE,
    }


def _gap_mark(series: SeriesId, gap: Gap) -> dict[str, Any]:
    missing = gap.missing_candles(series.timeframe)
    first = series.timeframe.close_of(gap.prev_time)
    last = series.timeframe.moved(gap.next_time, -1)
    return {
        "id": f"gap:{gap.next_time}",
        "time": gap.next_time,
        "color": INKS["amber"],
        "label": "G",
        "tooltip": [f"{missing} missing", f"{_written(first)} to {_written(last)}"],
    }


def _color(ink: str | None) -> str:
    return DEFAULT_COLOR if ink is None else INKS.get(ink, ink)


def _written(time: int) -> str:
    return f"{datetime.fromtimestamp(time, UTC):%Y-%m-%d %H:%M:%S} UTC"
