"""GET /api/factor/features: events as columns with one value for each candle, page by page."""

from __future__ import annotations

import orjson
from django.utils.translation import gettext_lazy as _
from drf_spectacular.utils import extend_schema
from pydantic import TypeAdapter
from rest_framework.request import Request
from rest_framework.response import Response

from factors.api.answers import FactorFeaturesAnswer
from factors.api.paged import BAD_RANGE, cursor_of, names_of, range_query
from factors.api.refusals import PAGED_OUT_OF_SYNC, refusals
from factors.api.requests import FeaturesQuery
from factors.features import FeatureCursor, FeaturesPage, is_known_column, read_features
from market import blocking
from market.api.cursors import cursor_text
from market.api.endpoint import Endpoint
from market.api.error_codes import ErrorCode
from market.api.errors import ApiError
from market.api.readable import readable_series
from market.api.schema import SERIES_DAMAGED, STORE_DOWN, parameters_of, responses
from market.domain.series import SeriesId

BAD_QUERY = {400: (*BAD_RANGE, ErrorCode.UNKNOWN_COLUMN)}

_CURSOR = TypeAdapter(FeatureCursor)


class FactorFeatures(Endpoint):
    """The feature columns of a series."""

    @extend_schema(
        operation_id="factor_features",
        summary="Read a page of feature columns",
        description=(
            "Counts and directions of the events that became visible with each candle: what was "
            "known then, nothing later. Pages are of one past: after a revision behind the cursor "
            "the next one is refused (`events_changed`)."
        ),
        parameters=parameters_of(FeaturesQuery),
        responses=responses(
            FactorFeaturesAnswer, BAD_QUERY, PAGED_OUT_OF_SYNC, SERIES_DAMAGED, STORE_DOWN
        ),
    )
    def get(self, request: Request) -> Response:
        """One page of rows."""
        asked = range_query(request, FeaturesQuery, "columns")
        refusal = ApiError(400, ErrorCode.UNKNOWN_COLUMN, _("no event fills a column of this name"))
        columns = names_of(asked.columns, is_known_column, refusal)
        series = readable_series(asked.series_id)
        with refusals("feature"):
            page = blocking.call(
                read_features,
                series,
                start=asked.start,
                end=asked.end,
                columns=columns,
                limit=asked.limit,
                cursor=cursor_of(asked.cursor, _CURSOR, series),
            )
        return Response(features_body(series, page))


def features_body(series: SeriesId, page: FeaturesPage) -> bytes:
    """The answer's JSON."""
    return orjson.dumps(
        {
            "series_id": str(series),
            "epoch": page.state.epoch,
            "generation": page.state.generation,
            "head_time": page.head_time,
            "candle_time": page.table.candle_time,
            "columns": page.table.columns,
            "next_cursor": None if page.cursor is None else cursor_text(page.cursor),
        }
    )
