"""What paged reads of the factor ledger share: lists of names, cursors, ranges."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar

from pydantic import TypeAdapter
from rest_framework.request import Request

from factors.api.requests import RangeQuery
from market.api.checks import check_query, check_range
from market.api.cursors import invalid_cursor, place_of
from market.api.error_codes import ErrorCode
from market.api.errors import ApiError
from market.api.schema import BAD_SERIES_ID
from market.domain.series import SeriesId

BAD_RANGE = (*BAD_SERIES_ID[400], ErrorCode.INVALID_RANGE, ErrorCode.INVALID_CURSOR)

Q = TypeVar("Q", bound=RangeQuery)


class SeriesPlace(Protocol):
    """A cursor that names its series."""

    @property
    def series_id(self) -> str: ...


P = TypeVar("P", bound=SeriesPlace)


def range_query(request: Request, model: type[Q], *lists: str) -> Q:
    """The query of a page, in which `lists` may be repeated; raises ApiError 400 and 422."""
    given = request.query_params
    repeated = {name: given.getlist(name) for name in lists if name in given}
    asked = check_query(model, given.dict() | repeated)
    check_range(asked.start, asked.end)
    return asked


def names_of(
    given: list[str] | None, is_known: Callable[[str], bool], refusal: ApiError
) -> list[str] | None:
    """The names of a list, each once; None without one. Raises `refusal` for an unknown one."""
    if given is None:
        return None
    names = list(dict.fromkeys(name.strip() for text in given for name in text.split(",")))
    if not all(map(is_known, names)):
        raise refusal
    return names


def cursor_of(text: str | None, kind: TypeAdapter[P], series: SeriesId) -> P | None:
    """The cursor of a text; raises ApiError 400 `invalid_cursor` for one of another series."""
    if text is None:
        return None
    cursor = place_of(text, kind)
    if cursor.series_id != str(series):
        raise invalid_cursor()
    return cursor
