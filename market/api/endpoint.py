"""The base class of every endpoint of the API."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from pydantic import BaseModel
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.request import Request
from rest_framework.views import APIView
from typing_extensions import override

from market.api.checks import check_body, check_query
from market.api.error_codes import ErrorCode
from market.api.errors import ApiError
from market.api.rendering import MAX_BODY_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rest_framework.parsers import BaseParser
    from rest_framework.renderers import BaseRenderer

M = TypeVar("M", bound=BaseModel)


class AlwaysJson(BaseContentNegotiation):
    """Answers JSON whatever the Accept header says, and accepts JSON only (else 415)."""

    @override
    def select_parser(self, request: Request, parsers: Iterable[BaseParser]) -> BaseParser | None:
        given = request.content_type.split(";")[0].strip().lower()
        return next((each for each in parsers if each.media_type == given), None)

    @override
    def select_renderer(
        self,
        request: Request,
        renderers: Iterable[BaseRenderer],
        format_suffix: str | None = None,
    ) -> tuple[BaseRenderer, str]:
        first = next(iter(renderers))
        return first, first.media_type or ""


class Endpoint(APIView):
    """An API view with validated queries and bodies."""

    content_negotiation_class = AlwaysJson
    max_body_bytes = MAX_BODY_BYTES

    def query(self, model: type[M]) -> M:
        """The validated query; raises ApiError 422."""
        return check_query(model, self.request.query_params)

    def body(self, model: type[M]) -> M:
        """The validated body; raises ApiError 413, 415 and 422."""
        # REST framework reads the body when `data` is first used.
        return check_body(model, self.request.data)


def require(switched_on: bool) -> None:
    """Raise ApiError 404 `not_found` for a feature that is off."""
    if not switched_on:
        raise ApiError(404, ErrorCode.NOT_FOUND, "not_found")
