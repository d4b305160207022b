"""GET /api/market/whitelist: the series that are always followed."""

from __future__ import annotations

from django.conf import settings
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from market import blocking
from market.api.answers import WhitelistAnswer
from market.api.endpoint import Endpoint
from market.api.schema import STORE_DOWN, responses
from market.ingest.desired import whitelisted_series
from market.runtime import derived_timeframes


class Whitelist(Endpoint):
    """For information only: other series may be subscribed and ingested, too."""

    @extend_schema(
        operation_id="whitelist",
        summary="List the series that are always followed",
        description=(
            "The enabled series of the whitelist, in its order; and the timeframes that are "
            "derived of another one, where that is switched on."
        ),
        responses=responses(WhitelistAnswer, STORE_DOWN),
    )
    def get(self, request: Request) -> Response:
        """The whitelist."""
        return Response(blocking.call(whitelist))


def whitelist() -> dict[str, object]:
    """The answer. Blocking."""
    answer: dict[str, object] = {"series_ids": [str(each) for each in whitelisted_series()]}
    if settings.SWITCHES.enable_derived_timeframes:
        timeframes = derived_timeframes()
        answer["derived"] = {
            "base": str(timeframes.base),
            "timeframes": [str(each) for each in timeframes.derived],
        }
    return answer
