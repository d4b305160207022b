"""Draw deltas, frames and polls, and the repair of drawings."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager

from django.conf import settings
from django.http import HttpResponse
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from market import blocking
from market.api.candle_answer import accepts_gzip, answer_with
from market.api.candles import http_response
from market.api.endpoint import Endpoint, require
from market.api.error_codes import ErrorCode
from market.api.errors import ApiError
from market.api.readable import readable_series, require_readable
from market.api.schema import (
    BAD_SERIES_ID,
    NO_BODY,
    NO_WRITER,
    STORE_DOWN,
    SWITCHED_OFF,
    parameters_of,
    responses,
)
from market.api.writes import require_writer
from market.debug_events import emit, milliseconds_since
from market.pipeline import PipelineError
from overlays import repair
from overlays.api.answer_cache import answer_cache
from overlays.api.answers import DrawDeltaAnswer, FrameAnswer, PollAnswer, RepairedAnswer
from overlays.api.debug import read_done, read_refused
from overlays.api.draw_query import AT_TIME, DELTA, LIVE, POLL, draw_query
from overlays.api.requests import (
    DrawDeltaQuery,
    FrameQuery,
    LiveFrameQuery,
    PollQuery,
    RepairBody,
)
from overlays.reads import NoData, NoOverlay, OutOfSync
from overlays.runtime import reads

log = logging.getLogger(__name__)

OUT_OF_SYNC = {
    "factor": ErrorCode.FACTOR_OUT_OF_SYNC,
    "overlay": ErrorCode.DRAW_OUT_OF_SYNC,
}
DRAW_OUT_OF_SYNC = {409: (ErrorCode.DRAW_OUT_OF_SYNC, ErrorCode.FACTOR_OUT_OF_SYNC)}
FRAME_MISSING = {404: (ErrorCode.WORLD_READ_NO_DATA, ErrorCode.WORLD_READ_NO_OVERLAY)}
FRAME_AT_MISSING = {404: ErrorCode.WORLD_READ_NO_DATA}
REPAIR_MISSING = {404: (ErrorCode.NOT_FOUND, ErrorCode.READ_REPAIR_NO_DATA)}
REPAIR_FAILED = {500: ErrorCode.OVERLAY_REPAIR_FAILED}
REPAIR_BEHIND = {
    409: (ErrorCode.READ_REPAIR_FACTOR_OUT_OF_SYNC, ErrorCode.READ_REPAIR_OVERLAY_OUT_OF_SYNC),
}


@contextmanager
def refusals() -> Iterator[None]:
    """Turn what a read raises into ApiError 404 and 409."""
    try:
        yield
    except NoData:
        raise ApiError(404, ErrorCode.WORLD_READ_NO_DATA, "no_data") from None
    except NoOverlay:
        raise ApiError(404, ErrorCode.WORLD_READ_NO_OVERLAY, "no_overlay") from None
    except OutOfSync as error:
        detail = f"ledger_out_of_sync:{error.ledger}"
        raise ApiError(409, OUT_OF_SYNC[error.ledger], detail) from None


def answered(request: Request, path: str) -> HttpResponse:
    """Read what is asked at a path; overlays.api.draw_front answers what is read already."""
    query = draw_query(path, request.query_params)
    require_readable(query.series)
    gzip = accepts_gzip(request.headers.get("Accept-Encoding", ""))
    with refusals():
        try:
            found = blocking.call(query.read, reads())
        except OutOfSync as error:
            read_refused(query, error, OUT_OF_SYNC[error.ledger])
            raise
    read_done(query, found)
    body = answer_cache().keep(query, found, accepts_gzip=gzip)
    return http_response(answer_with(body, request.headers.get("If-None-Match", "")))


class DrawDelta(Endpoint):
    """GET /api/draw/delta."""

    @extend_schema(
        operation_id="draw_delta",
        summary="Read what is drawn, and what changed",
        description=(
            "The instructions to show at the newest candle, or at the last one up to `at_time`, "
            "and the versions numbered above `cursor_version_id`. A client with cursor 0 that "
            "lacks more than 1,000 versions gets the newest ones of what its window shows. With "
            "cursor 0 the answer is checked against the factors. Don't continue a live cursor from "
            "an `at_time` answer."
        ),
        parameters=parameters_of(DrawDeltaQuery),
        responses=responses(DrawDeltaAnswer, BAD_SERIES_ID, DRAW_OUT_OF_SYNC, STORE_DOWN)
        | {304: None},
    )
    def get(self, request: Request) -> HttpResponse:
        """The delta of one series."""
        return answered(request, DELTA)


class LiveFrame(Endpoint):
    """GET /api/frame/live."""

    @extend_schema(
        operation_id="frame_live",
        summary="Read factors and drawings at the newest candle",
        description="Factors and drawings at the newest candle.",
        parameters=parameters_of(LiveFrameQuery),
        responses=responses(FrameAnswer, BAD_SERIES_ID, FRAME_MISSING, DRAW_OUT_OF_SYNC, STORE_DOWN)
        | {304: None},
    )
    def get(self, request: Request) -> HttpResponse:
        """The frame of one series."""
        return answered(request, LIVE)


class FrameAtTime(Endpoint):
    """GET /api/frame/at_time."""

    @extend_schema(
        operation_id="frame_at_time",
        summary="Read factors and drawings at a past candle",
        description=(
            "Factors and drawings at the last candle up to `at_time`: but for `time.at_time`, what "
            "`frame/live` answered when that candle was the newest, unless it was revised since."
        ),
        parameters=parameters_of(FrameQuery),
        responses=responses(
            FrameAnswer, BAD_SERIES_ID, FRAME_AT_MISSING, DRAW_OUT_OF_SYNC, STORE_DOWN
        )
        | {304: None},
    )
    def get(self, request: Request) -> HttpResponse:
        """The frame of one series at a time."""
        return answered(request, AT_TIME)


class DeltaPoll(Endpoint):
    """GET /api/delta/poll."""

    @extend_schema(
        operation_id="delta_poll",
        summary="Poll for what changed since a batch",
        description=(
            "One record if anything was stored since `after_id`, none otherwise. Every batch of "
            "candles has a number, also one that changed no drawing, so a client learns of each "
            "newer candle. Go on from `next_cursor.id`; to begin behind a frame, give its "
            "`draw_state.next_cursor.version_id`."
        ),
        parameters=parameters_of(PollQuery),
        responses=responses(PollAnswer, BAD_SERIES_ID, DRAW_OUT_OF_SYNC, STORE_DOWN) | {304: None},
    )
    def get(self, request: Request) -> HttpResponse:
        """What is new of one series."""
        return answered(request, POLL)


class RepairOverlay(Endpoint):
    """POST /api/dev/repair/overlay: redraws a series from the factor ledger (two switches)."""

    @extend_schema(
        operation_id="repair_overlay",
        summary="Draw a series again",
        description=(
            "Brings the factors of a series up to its newest candle, deletes its drawings and "
            "makes all of them again: `to_time` only names the candle that must be drawn "
            "afterwards. Numbers of versions keep growing, so a client goes on from any cursor. "
            "Until it is done, reads of the series answer 409."
        ),
        request=RepairBody,
        responses=responses(
            RepairedAnswer,
            BAD_SERIES_ID,
            SWITCHED_OFF,
            REPAIR_MISSING,
            REPAIR_BEHIND,
            NO_WRITER,
            NO_BODY,
            REPAIR_FAILED,
            STORE_DOWN,
        ),
    )
    def post(self, request: Request) -> Response:
        """Redraw one series."""
        switches = settings.SWITCHES
        # Checked before the switches, as the written contract demands.
        body = self.body(RepairBody)
        require(switches.enable_dev_api and switches.enable_read_repair_api)
        require_writer(request._request)
        series, started = readable_series(body.series_id), time.perf_counter()
        try:
            target = blocking.call(repair.target_of, series, body.to_time)
            parts = repair.parts_of(series)
            # A call for each part, so that none holds the series, or a thread, for long.
            while blocking.call(next, parts, None):
                pass
            repaired = blocking.call(repair.report, series, target)
        except NoData:
            raise ApiError(404, ErrorCode.READ_REPAIR_NO_DATA, "no_data") from None
        except OutOfSync as error:
            detail = f"ledger_out_of_sync:{error.ledger}"
            code = ErrorCode(f"read_repair.ledger_out_of_sync.{error.ledger}")
            raise ApiError(409, code, detail) from None
        except PipelineError as error:
            log.exception("repair of %s failed", series)
            detail = f"overlay_repair_failed:{error}"
            raise ApiError(500, ErrorCode.OVERLAY_REPAIR_FAILED, detail) from None
        emit("read.http.overlay_repair", series, repaired | {"ms": milliseconds_since(started)})
        return Response(repaired)
