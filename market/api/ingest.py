"""Candles by HTTP: one closed, one forming, or a batch for development."""

from __future__ import annotations

import time
from time import perf_counter

from asgiref.sync import async_to_sync
from django.conf import settings
from django.utils.translation import gettext_lazy as _
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from market.api import metrics
from market.api.answers import IngestedAnswer, IngestedBatchAnswer
from market.api.endpoint import Endpoint, require
from market.api.error_codes import ErrorCode
from market.api.errors import ApiError
from market.api.requests import (
    ClosedBatchBody,
    ClosedCandleBody,
    FormingCandleBody,
    candle_of,
    closed_candle_of,
)
from market.api.schema import (
    BAD_SERIES_ID,
    NO_BODY,
    NO_WRITER,
    PIPELINE_FAILED,
    SWITCHED_OFF,
    responses,
)
from market.api.writes import require_writer
from market.bus.publish import publish_change, publish_forming
from market.debug_events import emit, milliseconds_since
from market.domain.candle import Candle
from market.domain.change import Change
from market.domain.series import SeriesId
from market.ingest.derive import derive
from market.pipeline import PipelineError, StepTimes
from market.runtime import committer, derived_timeframes

DERIVED = {409: ErrorCode.DERIVED_SERIES}
NOT_CLOSED = {422: ErrorCode.CANDLE_NOT_CLOSED}

# 20,000 candles with generous numbers.
MAX_BATCH_BYTES = 8_000_000


def closed_candle(body: ClosedCandleBody) -> tuple[SeriesId, Candle]:
    """Series and candle of a validated body.

    Raises SeriesIdError, and ApiError 422 for an impossible or open candle, 409 for one of a
    derived series.
    """
    series = SeriesId.parse(body.series_id)
    series.require_canonical()
    refuse_derived(series)
    return series, closed_candle_of(series, body.candle, time.time(), "body", "candle")


def refuse_derived(series: SeriesId) -> None:
    """Raise ApiError 409 for a derived series: its candles are made of another series' alone.

    So are all with a calendar, whether they are derived here or not.
    """
    base = derived_timeframes().base_of(series)
    if base is not None:
        raise ApiError(
            409,
            ErrorCode.DERIVED_SERIES,
            _("%(series)s is derived: send the candles of %(base)s")
            % {"series": series, "base": base},
        )
    if series.timeframe.calendar is not None:
        raise ApiError(
            409,
            ErrorCode.DERIVED_SERIES,
            _("%(series)s can only be derived: send shorter candles") % {"series": series},
        )


async def store_and_publish(
    series: SeriesId, candles: list[Candle], *, publish: bool, is_batch: bool = False
) -> None:
    """Store candles through the pipeline, and publish what changed; raises PipelineError."""
    started = perf_counter()
    failed_step: str | None = "other"
    name = f"write.http.ingest_candle{'s_closed_batch' if is_batch else '_closed'}"
    about: dict[str, object] = {"candle_time": candles[0].candle_time}
    if is_batch:
        about = {"count": len(candles), "publish_ws": publish}
    emit(f"{name}_start", series, about)
    try:
        change = await committer().ingest(series, candles)
        stored_ms = milliseconds_since(started)
        if publish:
            await publish_change(change)
        failed_step = None
        _emit_done(name, change, candles, about, stored_ms=stored_ms, started=started)
    except PipelineError as error:
        failed_step = error.step
        failed = {"series_id": str(series), "step": error.step, "error": error.reason}
        emit(f"{name}_error", series, about | failed, message=str(error), level="error")
        raise
    finally:
        metrics.ingested(started, batch=is_batch, failed_step=failed_step)
    await derive(change, publishes=publish)


def _emit_done(
    name: str,
    change: Change,
    candles: list[Candle],
    about: dict[str, object],
    *,
    stored_ms: float,
    started: float,
) -> None:
    def done() -> dict[str, object]:
        taken = change.results.get(StepTimes)
        return {
            **about,
            "first_candle_time": min(candle.candle_time for candle in candles),
            "last_candle_time": max(candle.candle_time for candle in candles),
            "stored": len(change.fresh) + len(change.past),
            "factor_rebuilt": any(notice.event == "factor.rebuild" for notice in change.notices),
            "pipeline_duration_ms": stored_ms,
            "steps": [] if taken is None else taken.steps,
            "duration_ms": milliseconds_since(started),
        }

    emit(f"{name}_done", change.series, done)


async def ingest_closed(series: SeriesId, candle: Candle) -> dict[str, object]:
    """Store and publish one closed candle; returns the answer, raises PipelineError."""
    await store_and_publish(series, [candle], publish=True)
    return _ingested(series, candle)


def _ingested(series: SeriesId, candle: Candle) -> dict[str, object]:
    return {"ok": True, "series_id": str(series), "candle_time": candle.candle_time}


class ClosedCandle(Endpoint):
    """POST /api/market/ingest/candle_closed."""

    @extend_schema(
        operation_id="ingest_candle_closed",
        summary="Store one closed candle",
        description=(
            "Stores a closed candle with everything that follows from it in one transaction, "
            "then publishes it. The same candle again changes nothing. A candle that is still "
            "open is rejected with code `candle_not_closed`."
        ),
        request=ClosedCandleBody,
        responses=responses(
            IngestedAnswer,
            BAD_SERIES_ID,
            NO_WRITER,
            NO_BODY,
            DERIVED,
            NOT_CLOSED,
            PIPELINE_FAILED,
        ),
    )
    def post(self, request: Request) -> Response:
        """Store one closed candle."""
        require_writer(request._request)
        series, candle = closed_candle(self.body(ClosedCandleBody))
        return Response(async_to_sync(ingest_closed)(series, candle))


class FormingCandle(Endpoint):
    """POST /api/market/ingest/candle_forming (debug switch)."""

    @extend_schema(
        operation_id="ingest_candle_forming",
        summary="Publish the open candle",
        description="Publishes an open candle to watchers; stores nothing.",
        request=FormingCandleBody,
        responses=responses(IngestedAnswer, BAD_SERIES_ID, NO_WRITER, NO_BODY, SWITCHED_OFF),
    )
    def post(self, request: Request) -> Response:
        """Publish one forming candle."""
        if settings.SWITCHES.enable_debug_api:
            require_writer(request._request)
        # Validated before the switch is checked, as the written contract has it.
        body = self.body(FormingCandleBody)
        require(settings.SWITCHES.enable_debug_api)
        series = SeriesId.parse(body.series_id)
        series.require_canonical()
        candle = candle_of(body.candle, "body", "candle")
        async_to_sync(publish_forming)(series, candle)
        return Response(_ingested(series, candle))


class ClosedBatch(Endpoint):
    """POST /api/dev/market/ingest/candles_closed_batch (dev switch)."""

    max_body_bytes = MAX_BATCH_BYTES

    @extend_schema(
        operation_id="ingest_candles_closed_batch",
        summary="Store a batch of closed candles",
        description=(
            "Stores 1 to 20,000 closed candles of one series in one transaction. The body may "
            "have up to 8 MB. The batch is published to watchers only with `publish_ws`."
        ),
        request=ClosedBatchBody,
        responses=responses(
            IngestedBatchAnswer,
            BAD_SERIES_ID,
            NO_WRITER,
            NO_BODY,
            SWITCHED_OFF,
            DERIVED,
            NOT_CLOSED,
            PIPELINE_FAILED,
        ),
    )
    def post(self, request: Request) -> Response:
        """Store a batch of closed candles."""
        require(settings.SWITCHES.enable_dev_api)
        require_writer(request._request)
        body = self.body(ClosedBatchBody)
        series = SeriesId.parse(body.series_id)
        series.require_canonical()
        refuse_derived(series)
        now = time.time()
        candles = [
            closed_candle_of(series, each, now, "body", "candles", position)
            for position, each in enumerate(body.candles)
        ]
        store = async_to_sync(store_and_publish)
        store(series, candles, publish=body.publish_ws, is_batch=True)
        return Response(
            {
                "ok": True,
                "series_id": str(series),
                "count": len(candles),
                "first_candle_time": min(candle.candle_time for candle in candles),
                "last_candle_time": max(candle.candle_time for candle in candles),
            }
        )
