"""Frames of factors and drawings, live and at a time, and the poll for what is new."""

from __future__ import annotations

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from factors.stored_json import as_json
from market import blocking
from market.api.endpoint import Endpoint
from market.api.schema import BAD_SERIES_ID, STORE_DOWN, parameters_of, responses
from market.domain.series import SeriesId
from overlays.api.answers import FrameAnswer, PollAnswer
from overlays.api.refusals import DRAW_OUT_OF_SYNC, FRAME_AT_MISSING, FRAME_MISSING, refusals
from overlays.api.requests import FrameQuery, LiveFrameQuery, PollQuery
from overlays.runtime import world


class LiveFrame(Endpoint):
    """GET /api/frame/live."""

    @extend_schema(
        operation_id="frame_live",
        description="Factors and drawings at the newest candle.",
        parameters=parameters_of(LiveFrameQuery),
        responses=responses(
            FrameAnswer, BAD_SERIES_ID, FRAME_MISSING, DRAW_OUT_OF_SYNC, STORE_DOWN
        ),
    )
    def get(self, request: Request) -> Response:
        """The frame of one series."""
        asked = self.query(LiveFrameQuery)
        series = SeriesId.parse(asked.series_id)
        with refusals():
            answer = blocking.call(world().frame_live, series, window=asked.window_candles)
        return Response(as_json(answer))


class FrameAtTime(Endpoint):
    """GET /api/frame/at_time."""

    @extend_schema(
        operation_id="frame_at_time",
        description=(
            "Factors and drawings at the last candle up to `at_time`: but for `time.at_time`, what "
            "`frame/live` answered when that candle was the newest, unless it was revised since."
        ),
        parameters=parameters_of(FrameQuery),
        responses=responses(
            FrameAnswer, BAD_SERIES_ID, FRAME_AT_MISSING, DRAW_OUT_OF_SYNC, STORE_DOWN
        ),
    )
    def get(self, request: Request) -> Response:
        """The frame of one series at a time."""
        asked = self.query(FrameQuery)
        series, window = SeriesId.parse(asked.series_id), asked.window_candles
        with refusals():
            answer = blocking.call(world().frame_at, series, asked.at_time, window=window)
        return Response(as_json(answer))


class DeltaPoll(Endpoint):
    """GET /api/delta/poll."""

    @extend_schema(
        operation_id="delta_poll",
        description=(
            "One record if anything landed since `after_id`, none otherwise. Every batch of "
            "candles has a number, also one that changed no drawing, so a client learns of each "
            "newer candle. Go on from `next_cursor.id`; to begin behind a frame, give its "
            "`draw_state.next_cursor.version_id`."
        ),
        parameters=parameters_of(PollQuery),
        responses=responses(PollAnswer, BAD_SERIES_ID, DRAW_OUT_OF_SYNC, STORE_DOWN),
    )
    def get(self, request: Request) -> Response:
        """What is new of one series."""
        asked = self.query(PollQuery)
        series, window = SeriesId.parse(asked.series_id), asked.window_candles
        with refusals():
            answer = blocking.call(world().poll, series, after_id=asked.after_id, window=window)
        return Response(as_json(answer))
