"""GET /api/draw/delta: what is drawn at a candle, and the versions behind a cursor."""

from __future__ import annotations

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from factors.stored_json import as_json
from market import blocking
from market.api.endpoint import Endpoint
from market.api.schema import BAD_SERIES_ID, STORE_DOWN, parameters_of, responses
from market.domain.series import SeriesId
from overlays.api.answers import DrawDeltaAnswer
from overlays.api.refusals import DRAW_OUT_OF_SYNC, refusals
from overlays.api.requests import DrawDeltaQuery
from overlays.runtime import world


class DrawDelta(Endpoint):
    """GET /api/draw/delta."""

    @extend_schema(
        operation_id="draw_delta",
        description=(
            "The instructions to show at the newest candle, or at the last one up to `at_time`, "
            "and the versions numbered above `cursor_version_id`. A client with cursor 0 that "
            "lacks more than 5,000 versions gets the newest ones of what its window shows. With "
            "cursor 0 the answer is checked against the factors. Don't continue a live cursor from "
            "an `at_time` answer."
        ),
        parameters=parameters_of(DrawDeltaQuery),
        responses=responses(DrawDeltaAnswer, BAD_SERIES_ID, DRAW_OUT_OF_SYNC, STORE_DOWN),
    )
    def get(self, request: Request) -> Response:
        """The delta of one series."""
        asked = self.query(DrawDeltaQuery)
        with refusals():
            answer = blocking.call(
                world().delta,
                SeriesId.parse(asked.series_id),
                cursor=asked.cursor_version_id,
                window=asked.window_candles,
                at_time=asked.at_time,
            )
        return Response(as_json(answer))
