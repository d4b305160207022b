"""GET /api/market/health: how far a series is behind the exchange."""

from __future__ import annotations

import time
from typing import Any

from django.conf import settings
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from market import blocking
from market.api.answers import HealthAnswer
from market.api.derived import bucket_answer
from market.api.endpoint import Endpoint, require
from market.api.readable import readable_series
from market.api.requests import HealthQuery
from market.api.schema import (
    BAD_SERIES_ID,
    STORE_DOWN,
    SWITCHED_OFF,
    parameters_of,
    responses,
)
from market.domain.lease_store import IDLE, BackfillProgress, LeaseStoreUnavailable
from market.domain.series import SeriesId
from market.domain.timeframe import Timeframe
from market.ingest.derived_standing import Standing, standings
from market.ingest.halted import halted_markets
from market.ingest.runtime import lease_store
from market.runtime import candle_store


class Health(Endpoint):
    """The status light of a series."""

    @extend_schema(
        operation_id="health",
        summary="Read how far a series is behind",
        description=(
            "Green: up to date. Yellow: ahead of the clock, or a backfill runs or has ended "
            "recently. Red: behind without a backfill, or empty."
        ),
        parameters=parameters_of(HealthQuery),
        responses=responses(HealthAnswer, BAD_SERIES_ID, SWITCHED_OFF, STORE_DOWN),
    )
    def get(self, request: Request) -> Response:
        """Health of one series."""
        asked = self.query(HealthQuery)
        switches = settings.SWITCHES
        require(switches.enable_kline_health_v2 or switches.enable_debug_api)
        series = readable_series(asked.series_id)
        now = int(time.time()) if asked.now_time is None else asked.now_time
        head = blocking.call(candle_store().state, series).head
        standing = blocking.call(standings, [series], now=now).get(series)
        return Response(
            series_health(
                series,
                head,
                now=now,
                backfill=_progress(series),
                is_halted=bool(halted_markets().among([series])),
                standing=standing,
            )
        )


def _progress(series: SeriesId) -> BackfillProgress:
    # Operators look here when something is wrong, so it answers without the lease store, too.
    try:
        return lease_store().progress(series)
    except LeaseStoreUnavailable:
        return IDLE


def series_health(
    series: SeriesId,
    head: int | None,
    *,
    now: int,
    backfill: BackfillProgress,
    is_halted: bool = False,
    standing: Standing | None = None,
) -> dict[str, Any]:
    """The health answer at `now` (Unix seconds) for a series whose newest candle is `head`.

    `is_halted` is in the answer only where it is true, `derived` only with a standing.
    """
    timeframe = series.timeframe
    expected = timeframe.latest_closed(now)
    missing = None if head is None else max(0, expected - head)
    lacking = None if head is None else timeframe.lacking(head, expected)
    shown = _backfill(backfill, timeframe, missing or 0, lacking or 0, now=now)
    status, reason = _status(head, expected, shown)
    halted = {"is_halted": True} if is_halted else {}
    return {
        "series_id": str(series),
        "timeframe_seconds": timeframe.seconds,
        "now_time": now,
        "expected_latest_closed_time": expected,
        "head_time": head,
        "lag_seconds": None if head is None else max(0, now - head),
        "missing_seconds": missing,
        "missing_candles": lacking,
        "status": status,
        "status_reason": reason,
        "backfill": shown,
        **halted,
        **({} if standing is None else {"derived": _derived(standing)}),
    }


def _derived(standing: Standing) -> dict[str, Any]:
    incomplete = standing.incomplete
    return {
        "state": standing.state,
        "base_series_id": None if standing.base is None else str(standing.base),
        "base_head_time": standing.base_head,
        "made_to_time": standing.made_to,
        "incomplete": None if incomplete is None else bucket_answer(incomplete),
    }


def _status(head: int | None, expected: int, backfill: dict[str, Any]) -> tuple[str, str]:
    if head is None:
        return "red", "missing_head"
    if head > expected:
        return "yellow", "head_ahead_of_closed_window"
    if head == expected:
        return "green", "up_to_date"
    if backfill["state"] == "running":
        return "yellow", "backfill_running"
    if backfill["state"] == "succeeded" and backfill["recent"]:
        return "yellow", "backfill_recent"
    return "red", "lagging_no_recent_backfill"


def _backfill(
    progress: BackfillProgress, timeframe: Timeframe, missing: int, lacking: int, *, now: int
) -> dict[str, Any]:
    horizon = settings.SWITCHES.kline_health_backfill_recent_seconds
    updated = progress.updated_at
    start = progress.start_missing_seconds
    return {
        "state": progress.state,
        "progress_pct": _percent(start, missing),
        "started_at": progress.started_at,
        "updated_at": updated,
        "reason": progress.reason,
        "note": progress.note,
        "error": progress.error,
        "recent": updated is not None and now - updated <= horizon,
        "start_missing_seconds": start,
        "start_missing_candles": -(-start // timeframe.seconds),
        "current_missing_seconds": missing,
        "current_missing_candles": lacking,
    }


def _percent(start: int, current: int) -> float | None:
    if start <= 0:
        return 100.0 if current <= 0 else None
    return min(100.0, max(0.0, 100.0 * (start - current) / start))
