"""A request for a page of candles, parsed: the key of the page cache, and the view's query."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

from django.conf import settings
from django.core.exceptions import SuspiciousOperation
from django.http import QueryDict

from market.api.candle_answer import prefers_compact
from market.api.checks import check_query
from market.api.errors import ApiError
from market.api.requests import CandlesQuery
from market.domain.series import SeriesId

# Together they bound what remembered query strings take: half a megabyte, and their results.
MAX_REMEMBERED = 1024
MAX_REMEMBERED_BYTES = 512


class PageQuery(NamedTuple):
    """A page of a series: the oldest `limit` candles after `since`, or the newest without it.

    `compact`: in the columns of docs/history-format.md instead of JSON.
    """

    series: SeriesId
    since: int | None
    limit: int
    compact: bool = False

    def in_form(self, accept: str) -> PageQuery:
        """The same page in the form that an Accept header asks for."""
        if prefers_compact(accept) and settings.SWITCHES.enable_compact_history:
            return self._replace(compact=True)
        return self


def page_query(parameters: Mapping[str, str]) -> PageQuery:
    """The page that these parameters name; unknown ones are ignored.

    Raises ApiError 422 and SeriesIdError.
    """
    asked = check_query(CandlesQuery, parameters)
    return PageQuery(SeriesId.parse(asked.series_id), asked.since, asked.limit)


def query_of(query_string: bytes) -> PageQuery | None:
    """The page that a query string names; None for one that has to be refused."""
    if len(query_string) > MAX_REMEMBERED_BYTES:
        return _parsed(query_string)
    return _remembered(query_string)


def _parsed(query_string: bytes) -> PageQuery | None:
    try:
        query = page_query(QueryDict(query_string.decode()))
        # Whether another name of a series can be read depends on the store.
        return query if query.series.is_canonical else None
    except (ApiError, SuspiciousOperation, ValueError):
        return None


_remembered = lru_cache(MAX_REMEMBERED)(_parsed)
