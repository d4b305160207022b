"""GET /api/market/derived: which candles of a derived series lack some of their base."""

from __future__ import annotations

from django.conf import settings
from django.utils.translation import gettext_lazy as _
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from market import blocking
from market.api.answers import DerivedAnswer
from market.api.endpoint import Endpoint, require
from market.api.error_codes import ErrorCode
from market.api.errors import ApiError
from market.api.readable import readable_series
from market.api.requests import DerivedQuery
from market.api.schema import BAD_SERIES_ID, STORE_DOWN, SWITCHED_OFF, parameters_of, responses
from market.domain.derived import Incomplete
from market.domain.timeframe import MAX_TIME
from market.live.messages import PartialCandle
from market.runtime import derived_book, derived_timeframes

NOT_DERIVED = {422: ErrorCode.NOT_DERIVED}


class Derived(Endpoint):
    """A derived series and its base."""

    @extend_schema(
        operation_id="derived",
        summary="List incomplete candles of a derived series",
        description=(
            "The newest buckets that are over although candles of the base are missing in them, "
            "ascending. Such a bucket has no candle, or where partial candles are kept one that is "
            "made of what there is. Once the base is complete, the bucket is no longer listed."
        ),
        parameters=parameters_of(DerivedQuery),
        responses=responses(DerivedAnswer, BAD_SERIES_ID, SWITCHED_OFF, NOT_DERIVED, STORE_DOWN),
    )
    def get(self, request: Request) -> Response:
        """The incomplete buckets of a derived series."""
        require(settings.SWITCHES.enable_derived_timeframes)
        asked = self.query(DerivedQuery)
        series = readable_series(asked.series_id)
        base = derived_timeframes().base_of(series)
        if base is None:
            raise ApiError(422, ErrorCode.NOT_DERIVED, _("the series is not a derived one"))
        end = MAX_TIME if asked.end is None else asked.end
        found = blocking.call(
            derived_book().incomplete, series, asked.start, end, limit=asked.limit
        )
        return Response(
            {
                "series_id": str(series),
                "base_series_id": str(base),
                "is_partial_kept": settings.SWITCHES.enable_derived_partial_candles,
                "incomplete": [bucket_answer(each) for each in found],
            }
        )


def bucket_answer(bucket: Incomplete) -> PartialCandle:
    """An incomplete bucket as answers and the socket have it."""
    return {
        "candle_time": bucket.candle_time,
        "base_candles": bucket.found,
        "expected": bucket.expected,
    }
