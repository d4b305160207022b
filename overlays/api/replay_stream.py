"""GET /api/replay/stream: a replay straight from the ledgers, of one series or several."""

from __future__ import annotations

from django.http.response import HttpResponseBase
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request

from market.api.candle_answer import accepts_gzip
from market.api.checks import check_range
from market.api.endpoint import Endpoint
from market.api.error_codes import ErrorCode
from market.api.schema import BAD_SERIES_ID, errors_of, parameters_of
from market.api.streamed import streamed
from overlays.api.replay_answers import StreamLine
from overlays.api.replay_requests import StreamQuery
from overlays.api.views import DRAW_OUT_OF_SYNC, refusals
from overlays.replay import jobs
from overlays.replay.stream import StreamSpec, lines

NDJSON = "application/x-ndjson"


class ReplayStream(Endpoint):
    """The stream."""

    @extend_schema(
        operation_id="replay_stream",
        summary="Stream a replay",
        description=(
            "Candles of a range, and what each of them changes in drawings (and factors), as "
            "lines of JSON. The first line has all that is shown at `from`, so `from` = `to` is "
            "the state at one candle. Further series run on the same clock: a candle appears when "
            "it has closed."
        ),
        parameters=parameters_of(StreamQuery),
        responses={(200, NDJSON): StreamLine}
        | errors_of(
            {400: (*BAD_SERIES_ID[400], ErrorCode.INVALID_RANGE)},
            DRAW_OUT_OF_SYNC,
            {503: (ErrorCode.STORE_UNAVAILABLE, ErrorCode.TOO_MANY_STREAMS)},
        ),
    )
    def get(self, request: Request) -> HttpResponseBase:
        """The lines of one replay."""
        query = self.query(StreamQuery)
        check_range(query.start, query.end)
        spec = StreamSpec(
            series=query.series(),
            start=query.start,
            end=query.end,
            window=query.window_candles,
            window_size=query.window_size,
            limit=query.limit,
            with_factors=query.factors,
        )
        gzip = accepts_gzip(request.headers.get("Accept-Encoding", ""))
        with refusals():
            return streamed(lines(jobs.reader(), spec), gzip=gzip, content_type=NDJSON)
