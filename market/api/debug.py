"""For operators: ingest jobs, metrics, and extent and gaps of a series (debug switch)."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from django.conf import settings
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from market import blocking
from market.api.answers import IngestStateAnswer, MetricsAnswer, SeriesHealthAnswer
from market.api.endpoint import Endpoint, require
from market.api.metrics_json import metrics_as_object
from market.api.readable import readable_series
from market.api.requests import SeriesHealthQuery
from market.api.schema import (
    BAD_SERIES_ID,
    STORE_DOWN,
    SWITCHED_OFF,
    parameters_of,
    responses,
)
from market.domain.gaps import Gap
from market.domain.series import SeriesId
from market.domain.timeframe import Timeframe
from market.ingest.gap_ledger import ledger
from market.ingest.gap_ranges import GapState
from market.ingest.supervisor import ingest_state
from market.runtime import candle_store

MINUTE = Timeframe.parse("1m")


class IngestState(Endpoint):
    """GET /api/market/debug/ingest_state."""

    @extend_schema(
        operation_id="ingest_state",
        summary="List ingest jobs and their switches",
        description="The ingest jobs with their circuit breakers, and the switches.",
        responses=responses(IngestStateAnswer, SWITCHED_OFF, STORE_DOWN),
    )
    def get(self, request: Request) -> Response:
        """The jobs."""
        require(settings.SWITCHES.enable_debug_api)
        return Response(blocking.call(ingest_state))


class Metrics(Endpoint):
    """GET /api/market/debug/metrics."""

    @extend_schema(
        operation_id="metrics",
        summary="Read every metric as JSON",
        description=(
            "The metrics of this process since its start, and of the installation. Keys are "
            "`name{label=value,…}`. Needs the switch RUNTIME_METRICS as well."
        ),
        responses=responses(MetricsAnswer, SWITCHED_OFF),
    )
    def get(self, request: Request) -> Response:
        """All metrics."""
        switches = settings.SWITCHES
        require(switches.enable_debug_api and switches.enable_runtime_metrics)
        return Response(metrics_as_object())


class SeriesHealth(Endpoint):
    """GET /api/market/debug/series_health."""

    @extend_schema(
        operation_id="series_health",
        summary="Read extent and gaps of a series",
        description="Extent, gaps, and how complete the newest candles are in 1m candles.",
        parameters=parameters_of(SeriesHealthQuery),
        responses=responses(SeriesHealthAnswer, BAD_SERIES_ID, SWITCHED_OFF, STORE_DOWN),
    )
    def get(self, request: Request) -> Response:
        """Extent and gaps of one series."""
        asked = self.query(SeriesHealthQuery)
        require(settings.SWITCHES.enable_debug_api)
        series = readable_series(asked.series_id)
        answer = blocking.call(
            series_extent,
            series,
            now=int(time.time()),
            gaps=asked.max_recent_gaps,
            buckets=asked.recent_base_buckets,
        )
        return Response(answer)


def series_extent(series: SeriesId, *, now: int, gaps: int, buckets: int) -> dict[str, Any]:
    """The series_health answer at `now`: at most `gaps` newest gaps and `buckets` buckets."""
    store = candle_store()
    head = store.state(series).head
    found = store.gaps(series)
    return {
        "series_id": str(series),
        "timeframe_seconds": series.timeframe.seconds,
        "now_time": now,
        "first_time": store.first(series),
        "head_time": head,
        "lag_seconds": None if head is None else max(0, now - head),
        "candle_count": store.count(series),
        "gap_count": len(found),
        "max_gap_seconds": max((gap.delta_seconds for gap in found), default=None),
        "recent_gaps": _gaps(series, found[-gaps:]),
        "base_series_id": str(series.with_timeframe(MINUTE)),
        "base_bucket_completeness": _completeness(series, buckets),
    }


def _gaps(series: SeriesId, found: Sequence[Gap]) -> list[dict[str, Any]]:
    """Gaps, the newest first, with what the gap ledger knows of why."""
    if not found:
        return []
    around = (found[0].prev_time, found[-1].next_time)
    entries = ledger().entries(series, states=set(GapState) - {GapState.REPAIRED}, within=around)
    return [
        {
            "prev_time": gap.prev_time,
            "next_time": gap.next_time,
            "delta_seconds": gap.delta_seconds,
            "missing_candles": gap.missing_candles(series.timeframe),
            "noted": [
                {
                    "from_time": part.from_time,
                    "to_time": part.to_time,
                    "state": part.state.value,
                    "reason": part.reason,
                }
                for entry in entries
                if (part := entry.part(gap.prev_time + 1, gap.next_time - 1)) is not None
            ],
        }
        for gap in reversed(found)
    ]


def _completeness(series: SeriesId, buckets: int) -> list[dict[str, int]]:
    """The last buckets up to the one with the head of the 1m series."""
    timeframe = series.timeframe
    base = series.with_timeframe(MINUTE)
    if timeframe.seconds <= MINUTE.seconds:
        return []
    head = candle_store().state(base).head
    if head is None:
        return []
    newest = timeframe.open_of(head)
    opens = [timeframe.moved(newest, -back) for back in reversed(range(buckets))]
    return [_bucket(base, start, timeframe) for start in opens]


def _bucket(base: SeriesId, start: int, timeframe: Timeframe) -> dict[str, int]:
    end = timeframe.close_of(start)
    expected = (end - start) // MINUTE.seconds
    actual = candle_store().count(base, start, end - 1)
    return {
        "bucket_open_time": start,
        "expected_minutes": expected,
        "actual_minutes": actual,
        "missing_minutes": max(0, expected - actual),
    }
