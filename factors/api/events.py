"""GET /api/factor/events: the facts of a series, page by page."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext_lazy as _
from drf_spectacular.utils import extend_schema
from pydantic import TypeAdapter
from rest_framework.request import Request
from rest_framework.response import Response

from factors.api.answers import FactorEventsAnswer
from factors.api.refusals import PAGED_OUT_OF_SYNC, refusals, require_range
from factors.api.requests import EventsQuery
from factors.domain.ledger import NumberedEvent
from factors.events import Cursor, is_known, read_page
from factors.lazy_json import as_json
from market import blocking
from market.api.checks import check_query
from market.api.cursors import cursor_text, invalid_cursor, place_of
from market.api.endpoint import Endpoint
from market.api.error_codes import ErrorCode
from market.api.errors import ApiError
from market.api.readable import readable_series
from market.api.schema import BAD_SERIES_ID, STORE_DOWN, parameters_of, responses
from market.domain.series import SeriesId

BAD_QUERY = {
    400: (
        *BAD_SERIES_ID[400],
        ErrorCode.INVALID_RANGE,
        ErrorCode.INVALID_CURSOR,
        ErrorCode.UNKNOWN_KIND,
    )
}

_CURSOR = TypeAdapter(Cursor)


class FactorEvents(Endpoint):
    """The event ledger of a series."""

    @extend_schema(
        operation_id="factor_events",
        description=(
            "Facts in the order in which they became visible. Pages are of one past: after a "
            "revision or rebuild behind the cursor the next one is refused (`events_changed`)."
        ),
        parameters=parameters_of(EventsQuery),
        responses=responses(FactorEventsAnswer, BAD_QUERY, PAGED_OUT_OF_SYNC, STORE_DOWN),
    )
    def get(self, request: Request) -> Response:
        """One page of events."""
        given = request.query_params
        lists = {"kinds": given.getlist("kinds")} if "kinds" in given else {}
        asked = check_query(EventsQuery, given.dict() | lists)
        require_range(asked.start, asked.end)
        kinds = _kinds_of(asked.kinds)
        series = readable_series(asked.series_id)
        with refusals():
            page = blocking.call(
                read_page,
                series,
                start=asked.start,
                end=asked.end,
                kinds=kinds,
                limit=asked.limit,
                cursor=None if asked.cursor is None else _cursor_of(asked.cursor, series),
            )
        answer = {
            "series_id": str(series),
            "epoch": page.state.epoch,
            "generation": page.state.generation,
            "head_time": page.head_time,
            "events": [_event(each) for each in page.events],
            "next_cursor": None if page.cursor is None else cursor_text(page.cursor),
        }
        return Response(as_json(answer))


def _event(numbered: NumberedEvent) -> dict[str, Any]:
    number, (factor, kind, candle_time, event_key, payload) = numbered
    return {
        "id": number,
        "candle_time": candle_time,
        "factor": factor,
        "kind": kind,
        "event_key": event_key,
        "payload": payload,
    }


def _kinds_of(given: list[str] | None) -> list[str] | None:
    """The kinds of a query, None for all; raises ApiError 400 `unknown_kind`."""
    if given is None:
        return None
    names = {name.strip(): None for text in given for name in text.split(",")}
    for name in names:
        if not is_known(name):
            raise ApiError(400, ErrorCode.UNKNOWN_KIND, _("no factor reports events of this kind"))
    return list(names)


def _cursor_of(text: str, series: SeriesId) -> Cursor:
    """The cursor of a text; raises ApiError 400 `invalid_cursor` for one of another series."""
    cursor = place_of(text, _CURSOR)
    if cursor.series_id != str(series):
        raise invalid_cursor()
    return cursor
