"""GET /api/market/whitelist: the series that are always followed."""

from __future__ import annotations

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from market import blocking
from market.api.answers import WhitelistAnswer
from market.api.endpoint import Endpoint
from market.api.schema import STORE_DOWN, responses
from market.ingest.desired import whitelisted_series


class Whitelist(Endpoint):
    """For information only: other series may be subscribed and ingested, too."""

    @extend_schema(
        operation_id="whitelist",
        description="The enabled series of the whitelist, in its order.",
        responses=responses(WhitelistAnswer, STORE_DOWN),
    )
    def get(self, request: Request) -> Response:
        """The whitelist."""
        series = blocking.call(whitelisted_series)
        return Response({"series_ids": [str(each) for each in series]})
