"""GET /api/factor/events: the facts of a series, page by page."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext_lazy as _
from drf_spectacular.utils import extend_schema
from pydantic import TypeAdapter
from rest_framework.request import Request
from rest_framework.response import Response

from factors.api.answers import FactorEventsAnswer
from factors.api.paged import BAD_RANGE, cursor_of, names_of, range_query
from factors.api.refusals import PAGED_OUT_OF_SYNC, refusals
from factors.api.requests import EventsQuery
from factors.domain.ledger import NumberedEvent
from factors.events import Cursor, EventsPage, is_known, read_page
from factors.lazy_json import as_json
from market import blocking
from market.api.cursors import cursor_text
from market.api.endpoint import Endpoint
from market.api.error_codes import ErrorCode
from market.api.errors import ApiError
from market.api.readable import readable_series
from market.api.schema import STORE_DOWN, parameters_of, responses
from market.domain.series import SeriesId

BAD_QUERY = {400: (*BAD_RANGE, ErrorCode.UNKNOWN_KIND)}

_CURSOR = TypeAdapter(Cursor)


class FactorEvents(Endpoint):
    """The event ledger of a series."""

    @extend_schema(
        operation_id="factor_events",
        summary="Read a page of factor events",
        description=(
            "Facts in the order in which they became visible. Pages are of one past: after a "
            "revision or rebuild behind the cursor the next one is refused (`events_changed`)."
        ),
        parameters=parameters_of(EventsQuery),
        responses=responses(FactorEventsAnswer, BAD_QUERY, PAGED_OUT_OF_SYNC, STORE_DOWN),
    )
    def get(self, request: Request) -> Response:
        """One page of events."""
        asked = range_query(request, EventsQuery, "kinds")
        unknown = _("no factor reports events of this kind")
        refusal = ApiError(400, ErrorCode.UNKNOWN_KIND, unknown)
        kinds = names_of(asked.kinds, is_known, refusal)
        series = readable_series(asked.series_id)
        with refusals():
            page = blocking.call(
                read_page,
                series,
                start=asked.start,
                end=asked.end,
                kinds=kinds,
                limit=asked.limit,
                cursor=cursor_of(asked.cursor, _CURSOR, series),
            )
        return Response(events_body(series, page))


def events_body(series: SeriesId, page: EventsPage) -> bytes:
    """The answer's JSON."""
    return as_json(
        {
            "series_id": str(series),
            "epoch": page.state.epoch,
            "generation": page.state.generation,
            "head_time": page.head_time,
            "events": [_event(each) for each in page.events],
            "next_cursor": None if page.cursor is None else cursor_text(page.cursor),
        }
    )


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
