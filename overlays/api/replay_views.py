"""Replay packages: prepared, built by workers, and read window by window."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from itertools import islice

from asgiref.sync import async_to_sync
from django.conf import settings
from django.http.response import HttpResponseBase
from django.utils.translation import gettext_lazy as _
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from factors.lazy_json import as_json
from market import blocking
from market.api.candle_answer import accepts_gzip
from market.api.endpoint import Endpoint, require
from market.api.error_codes import ErrorCode
from market.api.errors import RETRY_SOON, ApiError
from market.api.readable import readable_series
from market.api.schema import (
    BAD_SERIES_ID,
    NO_BODY,
    STORE_DOWN,
    parameters_of,
    responses,
)
from market.api.streamed import streamed
from market.bus.publish import publish_change
from market.costs import charge
from market.debug_events import emit
from market.domain.series import SeriesId
from overlays.api.replay_answers import (
    BuildAnswer,
    CoverageBegunAnswer,
    CoverageStatusAnswer,
    PreparedAnswer,
    StatusAnswer,
    WindowAnswer,
)
from overlays.api.replay_requests import (
    BuildBody,
    CoverageBody,
    CoverageStatusQuery,
    PrepareBody,
    StatusQuery,
    WindowQuery,
)
from overlays.reads import NoData, OutOfSync
from overlays.replay import coverage, jobs, package
from overlays.replay.coverage import CoverageJob
from overlays.replay.package import Object
from overlays.replay.preparation import prepare
from overlays.tasks import request_build

log = logging.getLogger(__name__)

# What the work of others for a request is charged with, in milliseconds for each candle.
BUILD_MS = 0.2
FETCH_MS = 0.5

NO_JOB = {404: (ErrorCode.NOT_FOUND, ErrorCode.REPLAY_STATUS_NOT_FOUND)}
NO_WINDOW = {
    404: (
        ErrorCode.NOT_FOUND,
        ErrorCode.REPLAY_WINDOW_NOT_FOUND,
        ErrorCode.REPLAY_PACKAGE_NOT_FOUND,
    )
}
NO_COVERAGE = {404: (ErrorCode.NOT_FOUND, ErrorCode.REPLAY_COVERAGE_NOT_FOUND)}
UNAVAILABLE = {
    503: (
        ErrorCode.STORE_UNAVAILABLE,
        ErrorCode.REPLAY_BUILD_UNAVAILABLE,
        ErrorCode.REPLAY_ARTIFACTS_UNAVAILABLE,
    )
}


class PrepareReplay(Endpoint):
    """POST /api/replay/prepare."""

    @extend_schema(
        operation_id="replay_prepare",
        summary="Bring factors and drawings up to a candle",
        description=(
            "Brings factors and drawings of a series up to a candle, for at most 20 seconds. They "
            "are behind only after a change of their logic."
        ),
        request=PrepareBody,
        responses=responses(
            PreparedAnswer,
            BAD_SERIES_ID,
            {404: ErrorCode.REPLAY_PREPARE_NO_DATA},
            {
                409: (
                    ErrorCode.REPLAY_PREPARE_FACTOR_OUT_OF_SYNC,
                    ErrorCode.REPLAY_PREPARE_OVERLAY_OUT_OF_SYNC,
                )
            },
            NO_BODY,
            {500: ErrorCode.INGEST_PIPELINE_FAILED},
            STORE_DOWN,
        ),
    )
    def post(self, request: Request) -> Response:
        """Prepare one series."""
        body = self.body(PrepareBody)
        series = readable_series(body.series_id)
        try:
            done = blocking.call(prepare, series, body.to_time)
        except NoData:
            raise ApiError(404, ErrorCode.REPLAY_PREPARE_NO_DATA, "no_data") from None
        except OutOfSync as error:
            code = ErrorCode(f"replay_prepare.ledger_out_of_sync.{error.ledger}")
            raise ApiError(409, code, f"ledger_out_of_sync:{error.ledger}") from None
        for change in done.changes:
            async_to_sync(publish_change)(change)
        reached = {
            "requested_time": done.requested_time,
            "aligned_time": done.aligned_time,
            "window_candles": body.candles,
            "factor_head_time": done.factor_head_time,
            "overlay_head_time": done.overlay_head_time,
            "computed": bool(done.changes),
        }
        emit("read.http.replay_prepare", series, reached)
        return Response({"ok": True, "series_id": str(series), **reached})


class EnsureCoverage(Endpoint):
    """POST /api/replay/ensure_coverage."""

    @extend_schema(
        operation_id="replay_ensure_coverage",
        summary="Have missing candles of a replay fetched",
        description=(
            "Has the candles of a range fetched from the exchange where they are not stored. Only "
            "what may be followed is fetched, with `ENABLE_CCXT_BACKFILL`."
        ),
        request=CoverageBody,
        responses=responses(
            CoverageBegunAnswer,
            BAD_SERIES_ID,
            {404: (ErrorCode.NOT_FOUND, ErrorCode.REPLAY_COVERAGE_DISABLED)},
            NO_BODY,
            {503: (ErrorCode.STORE_UNAVAILABLE, ErrorCode.REGISTRY_UNAVAILABLE)},
        ),
    )
    def post(self, request: Request) -> Response:
        """Begin one job."""
        body = self.body(CoverageBody)
        require(settings.SWITCHES.enable_replay_v1)
        if not settings.SWITCHES.enable_replay_ensure_coverage:
            raise ApiError(404, ErrorCode.REPLAY_COVERAGE_DISABLED, "not_found")
        series = SeriesId.parse(body.series_id)
        series.require_canonical()
        job = blocking.call(CoverageJob.of, series, body.to_time, body.target_candles)
        if blocking.call(coverage.begin, job):
            charge(FETCH_MS * body.target_candles)
            return Response({"status": "building", "job_id": job.job_id, "error": None})
        state = blocking.call(coverage.state_of, job)
        status, error = ("building", None) if state is None else (state.status, state.error)
        return Response({"status": status, "job_id": job.job_id, "error": error})


class CoverageStatus(Endpoint):
    """GET /api/replay/coverage_status."""

    @extend_schema(
        operation_id="replay_coverage_status",
        summary="Read the state of such a fetch",
        description="How many candles of a coverage job are stored by now.",
        parameters=parameters_of(CoverageStatusQuery),
        responses=responses(
            CoverageStatusAnswer,
            NO_COVERAGE,
            {503: (ErrorCode.STORE_UNAVAILABLE, ErrorCode.REGISTRY_UNAVAILABLE)},
        ),
    )
    def get(self, request: Request) -> Response:
        """The state of one job."""
        query = self.query(CoverageStatusQuery)
        require(settings.SWITCHES.enable_replay_v1)
        job = CoverageJob.parse(query.job_id)
        state = None if job is None else blocking.call(coverage.state_of, job)
        if job is None or state is None:
            raise ApiError(404, ErrorCode.REPLAY_COVERAGE_NOT_FOUND, "not_found")
        return Response(
            {
                "status": state.status,
                "job_id": query.job_id,
                "candles_ready": state.candles_ready,
                "required_candles": job.target_candles,
                "head_time": state.head_time,
                "error": state.error,
            }
        )


class BuildReplay(Endpoint):
    """POST /api/replay/build."""

    @extend_schema(
        operation_id="replay_build",
        summary="Have a replay package built",
        description=(
            "Has a package built by a worker. The same request of the same candles has the same "
            "`job_id`, and is built once; a build that failed may be asked for again after a "
            "minute."
        ),
        request=BuildBody,
        responses=responses(
            BuildAnswer,
            BAD_SERIES_ID,
            {404: (ErrorCode.NOT_FOUND, ErrorCode.REPLAY_NO_DATA)},
            {409: (ErrorCode.REPLAY_BUILD_COVERAGE_MISSING, ErrorCode.REPLAY_BUILD_OUT_OF_SYNC)},
            NO_BODY,
            UNAVAILABLE,
        ),
    )
    def post(self, request: Request) -> Response:
        """Begin one build."""
        body = self.body(BuildBody)
        require(settings.SWITCHES.enable_replay_v1)
        series = readable_series(body.series_id)
        try:
            spec = blocking.call(
                jobs.spec_of,
                series,
                body.to_time,
                window_candles=body.candles,
                window_size=body.size,
                snapshot_interval=body.interval,
            )
            job = blocking.call(jobs.request, spec)
        except NoData:
            raise ApiError(404, ErrorCode.REPLAY_NO_DATA, "no_data") from None
        except jobs.CoverageMissing:
            code = ErrorCode.REPLAY_BUILD_COVERAGE_MISSING
            raise ApiError(409, code, "coverage_missing") from None
        except OutOfSync:
            code = ErrorCode.REPLAY_BUILD_OUT_OF_SYNC
            raise ApiError(409, code, "ledger_out_of_sync:replay") from None
        except OSError:
            raise _no_artifacts() from None
        if job.is_due:
            charge(BUILD_MS * body.candles)
            _ask_for(job)
        return Response({"status": job.status, "job_id": job.key, "cache_key": job.key})


class ReplayStatus(Endpoint):
    """GET /api/replay/status."""

    @extend_schema(
        operation_id="replay_status",
        summary="Read the state of a build",
        description="The state of a build. One that no worker is at work on is asked for again.",
        parameters=parameters_of(StatusQuery),
        responses=responses(StatusAnswer, NO_JOB, UNAVAILABLE),
    )
    def get(self, request: Request) -> Response:
        """The state of one build."""
        query = self.query(StatusQuery)
        require(settings.SWITCHES.enable_replay_v1)
        try:
            job = blocking.call(jobs.status, query.job_id)
        except jobs.NotBuilt:
            raise ApiError(404, ErrorCode.REPLAY_STATUS_NOT_FOUND, "not_found") from None
        if job.is_due:
            _ask_for(job)
        found = None
        if job.status == "done":
            try:
                found = blocking.call(jobs.package, job.key)
            except jobs.NotBuilt:
                # It was dropped just now.
                found = None
        preload = None
        if found is not None and query.include_preload:
            last = found["metadata"]["total_candles"] - 1 - package.PRELOAD_OFFSET
            preload = blocking.call(package.window_at, found, last)
        return Response(
            {
                "status": job.status,
                "job_id": job.key,
                "cache_key": job.key,
                "error": job.error,
                "metadata": None if found is None else found["metadata"],
                "preload_window": preload,
            }
        )


class ReplayWindowView(Endpoint):
    """GET /api/replay/window."""

    @extend_schema(
        operation_id="replay_window",
        summary="Read a window of a package",
        description=(
            "The window of a package that has a candle. The active ids of a candle are those of "
            "the last checkpoint up to it, with the diffs after that up to it."
        ),
        parameters=parameters_of(WindowQuery),
        responses=responses(
            WindowAnswer,
            NO_WINDOW,
            {422: ErrorCode.REPLAY_WINDOW_TARGET_OUT_OF_RANGE},
            UNAVAILABLE,
        ),
    )
    def get(self, request: Request) -> HttpResponseBase:
        """One window."""
        query = self.query(WindowQuery)
        require(settings.SWITCHES.enable_replay_v1)
        try:
            found = blocking.call(jobs.package, query.job_id)
            window = blocking.call(package.window_at, found, query.target_idx)
        except jobs.NotBuilt as error:
            code = (
                ErrorCode.REPLAY_PACKAGE_NOT_FOUND
                if error.is_known
                else ErrorCode.REPLAY_WINDOW_NOT_FOUND
            )
            raise ApiError(404, code, "not_found") from None
        except IndexError:
            code = ErrorCode.REPLAY_WINDOW_TARGET_OUT_OF_RANGE
            raise ApiError(422, code, "target_idx_out_of_range") from None
        answer = {"job_id": query.job_id, "window": window}
        if query.factors == "none":
            return Response(answer)
        number = window["window_index"]
        if query.factors == "changes":
            return Response(answer | blocking.call(package.changed_rows, found, number))
        gzip = accepts_gzip(request.headers.get("Accept-Encoding", ""))
        return streamed(_with_rows(answer, found, number), gzip=gzip)


def _with_rows(answer: Object, found: Object, number: int) -> Iterator[bytes]:
    """The answer with the contract's rows, which may be large, piece by piece."""
    yield as_json(answer)[:-1] + b',"factor_snapshots":['
    rows = package.snapshot_rows(found, number)
    for row in islice(rows, 1):
        yield as_json(row)
    for row in rows:
        yield b"," + as_json(row)
    yield b"]}"


def _ask_for(job: jobs.Job) -> None:
    """Have a package built; raises ApiError 503 when no builder can be asked."""
    if not blocking.call(request_build, job.key):
        blocking.call(jobs.forget, job.key)
        code = ErrorCode.REPLAY_BUILD_UNAVAILABLE
        raise ApiError(503, code, _("no worker can be asked to build it now"), headers=RETRY_SOON)


def _no_artifacts() -> ApiError:
    log.exception("replay packages can't be kept in TRADE_CANVAS_ARTIFACTS_DIR")
    code = ErrorCode.REPLAY_ARTIFACTS_UNAVAILABLE
    return ApiError(503, code, _("replay packages can't be written now"))
