"""What every endpoint of the API has in common."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.request import Request
from rest_framework.views import APIView

from market.api.checks import check_body, check_query
from market.api.errors import not_found
from market.api.rendering import MAX_BODY_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rest_framework.parsers import BaseParser
    from rest_framework.renderers import BaseRenderer

M = TypeVar("M", bound=BaseModel)


class AlwaysJson(BaseContentNegotiation):
    """There is one representation: an Accept header that names another gets it all the same."""

    def select_parser(self, request: Request, parsers: Iterable[BaseParser]) -> BaseParser | None:
        """The JSON parser for JSON, None (415) for everything else."""
        given = request.content_type.split(";")[0].strip().lower()
        return next((each for each in parsers if each.media_type == given), None)

    def select_renderer(
        self,
        request: Request,
        renderers: Iterable[BaseRenderer],
        format_suffix: str | None = None,
    ) -> tuple[BaseRenderer, str]:
        """The first renderer."""
        first = next(iter(renderers))
        return first, first.media_type or ""


class Endpoint(APIView):
    """An API view with checked queries and bodies."""

    content_negotiation_class = AlwaysJson
    max_body_bytes = MAX_BODY_BYTES

    def query(self, model: type[M]) -> M:
        """The checked query; raises ApiError 422."""
        return check_query(model, self.request.query_params)

    def body(self, model: type[M]) -> M:
        """The checked body; raises ApiError 413, 415 and 422."""
        return check_body(model, self._data())

    def _data(self) -> Any:
        return self.request.data


def require(switched_on: bool) -> None:
    """Raise ApiError 404 `not_found` for a feature that is off."""
    if not switched_on:
        raise not_found()
