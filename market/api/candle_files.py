"""GET /api/market/candles.{csv,parquet,arrow}: candles of any range as a file."""

from __future__ import annotations

import io
import time
from collections.abc import AsyncGenerator, Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import NamedTuple, TypeVar

import orjson
from asgiref.sync import async_to_sync
from django.conf import settings
from django.http import HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.utils.cache import patch_vary_headers
from django.utils.http import content_disposition_header
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request

from market.api import metrics
from market.api.asgi import CONNECTION
from market.api.candle_answer import VARY, accepts_gzip, is_unchanged
from market.api.checks import check_query
from market.api.endpoint import Endpoint, require
from market.api.error_codes import ErrorCode
from market.api.errors import ApiError, validation_error
from market.api.event_streams import StreamPlaces
from market.api.readable import readable_series
from market.api.requests import ExportQuery
from market.api.schema import BAD_SERIES_ID, SWITCHED_OFF, errors_of, parameters_of
from market.api.streamed import in_chunks
from market.candle_files.arrow import ArrowMissing, pyarrow
from market.candle_files.exported import changed_since, pages
from market.candle_files.names import stem_of
from market.candle_files.writers import Kind, writing
from market.domain.freshness import clamp_cursor
from market.domain.series import SeriesId
from market.domain.store import SeriesState
from market.ingest.derive import first_fill
from market.runtime import candle_store, derived_timeframes

A = TypeVar("A", bound=HttpResponseBase)

CONTENT_TYPES = {
    Kind.CSV: "text/csv; charset=utf-8",
    Kind.PARQUET: "application/vnd.apache.parquet",
    Kind.ARROW: "application/vnd.apache.arrow.file",
}
# What one step of an export reads: it holds a database thread meanwhile.
PAGE = 5_000
MOST_EXPORTS = 4
"""Exports under way in one process; they must leave room for reads of charts."""

MOST_S = 900.0
FORMAT = 1

places = StreamPlaces(MOST_EXPORTS)


class Part(NamedTuple):
    """The candles of one series that a file has: those from `start` to `end`, inclusive."""

    series: SeriesId
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Export:
    """A file that was asked for: its parts, and what describes it."""

    kind: Kind
    parts: Sequence[Part]
    headers: dict[str, str]

    def chunks(self) -> Iterator[bytes]:
        """The bytes of the file as they are written; many are empty, because candles are held."""
        series = [part.series for part in self.parts]
        sink = io.BytesIO()
        result = "cut"
        try:
            with writing(self.kind, sink, series, with_column=len(series) > 1) as writer:
                for part in self.parts:
                    for page in pages(candle_store(), *part, size=PAGE):
                        writer.write(part.series, page)
                        metrics.EXPORTED_CANDLES.inc(len(page))
                        yield _taken(sink)
            yield _taken(sink)
            result = "whole"
        finally:
            metrics.EXPORTS.inc(1, self.kind, result)


class CandleFile(Endpoint):
    """A file, written while the client reads it."""

    @extend_schema(
        operation_id="candle_file",
        summary="Read candles as a file",
        description=(
            "Candles of a range as a file (docs/candle-files.md). With one `series_id` its columns "
            "are those of a candle; with several, `series_id` comes first. With `since`, `epoch` "
            "and `generation` of an answer before (`X-Server-Head-Time`, `X-Series-Epoch`, "
            "`X-Series-Generation`) the file has what is new or revised since then: it replaces "
            "everything from `X-Changed-From` on. A file that ends early is cut off without the "
            "end of a chunked answer."
        ),
        parameters=[
            OpenApiParameter(
                "kind", str, OpenApiParameter.PATH, enum=[kind.value for kind in CONTENT_TYPES]
            ),
            *parameters_of(ExportQuery),
        ],
        responses={
            (200, content_type.partition(";")[0]): OpenApiTypes.BINARY
            for content_type in CONTENT_TYPES.values()
        }
        | {304: None}
        | errors_of(
            BAD_SERIES_ID,
            SWITCHED_OFF,
            {500: ErrorCode.SERIES_DAMAGED},
            {501: ErrorCode.ARROW_NOT_INSTALLED},
            {503: (ErrorCode.STORE_UNAVAILABLE, ErrorCode.TOO_MANY_STREAMS)},
        ),
    )
    def get(self, request: Request, kind: str) -> HttpResponseBase:
        """The file."""
        export = self._asked(kind)
        if (unchanged := _unchanged(request, export)) is not None:
            return unchanged
        places.require_free()
        gzip = export.kind is Kind.CSV and accepts_gzip(request.headers.get("Accept-Encoding", ""))
        scope = getattr(request._request, "scope", {})
        connection = scope.get("state", {}).get(CONNECTION)
        answer = in_chunks(
            export.chunks(),
            gzip=gzip,
            content_type=CONTENT_TYPES[export.kind],
            places=places,
            most_s=MOST_S,
            abort=connection.abort if connection is not None else None,
        )
        return _described(answer, export)

    def head(self, request: Request, kind: str) -> HttpResponseBase:
        """The headers of the file, without reading a candle."""
        export = self._asked(kind)
        if (unchanged := _unchanged(request, export)) is not None:
            return unchanged
        # Its length is not known: another answer would have that of an empty body.
        answer = StreamingHttpResponse(_nothing(), content_type=CONTENT_TYPES[export.kind])
        return _described(answer, export)

    def _asked(self, text: str) -> Export:
        """What the request asks for; raises ApiError and SeriesIdError."""
        require(settings.SWITCHES.enable_candle_export)
        kind = next((each for each in CONTENT_TYPES if each == text), None)
        if kind is None:
            raise ApiError(404, ErrorCode.NOT_FOUND, "not_found")
        given = self.request.query_params
        asked = check_query(ExportQuery, given.dict() | {"series_id": given.getlist("series_id")})
        series = list(dict.fromkeys(map(readable_series, asked.series_id)))
        if asked.since is not None and len(series) > 1:
            text = "of one series only: each has its own"
            item = {"type": "value_error", "loc": ["query", "since"], "msg": text}
            raise validation_error([item | {"input": asked.since}])
        if kind.needs_arrow:
            try:
                pyarrow()
            except ArrowMissing as error:
                raise ApiError(501, ErrorCode.ARROW_NOT_INSTALLED, str(error)) from None
        return _export(kind, series, asked)


def _export(kind: Kind, series: Sequence[SeriesId], asked: ExportQuery) -> Export:
    """The parts and headers of a file, as the store is now."""
    store = candle_store()
    states = _states(series)
    now = time.time()
    # A candle that is stored and still open is withheld.
    heads = {
        each: None if state.head is None else clamp_cursor(state.head, each.timeframe, now)
        for each, state in states.items()
    }
    parts = [
        Part(each, asked.start, min(asked.end, -1 if (head := heads[each]) is None else head))
        for each in series
    ]
    headers: dict[str, str] = {}
    if len(series) == 1:
        (only,), state = series, states[series[0]]
        headers["X-Series-Epoch"] = str(state.epoch)
        headers["X-Series-Generation"] = state.generation
        if (head := heads[only]) is not None:
            headers["X-Server-Head-Time"] = str(head)
        if asked.since is not None:
            start = _changed_from(only, state, asked)
            parts = [Part(only, start, parts[0].end)]
            headers["X-Changed-From"] = str(start)
    name = stem_of(series[0]) if len(series) == 1 else "candles"
    headers["Content-Disposition"] = content_disposition_header(True, f"{name}.{kind}") or ""
    known = [
        (str(part.series), part.start, part.end, *states[part.series], store.kept_from(part.series))
        for part in parts
    ]
    tag = blake2b(orjson.dumps([FORMAT, kind, known]), digest_size=12).hexdigest()
    # Weak: equal candles, not equal bytes.
    headers["ETag"] = f'W/"{tag}"'
    return Export(kind, parts, headers)


def _states(series: Sequence[SeriesId]) -> dict[SeriesId, SeriesState]:
    """The states of series; a derived one that nobody has read yet is made first."""
    states = candle_store().states(series)
    empty = [each for each in series if states[each].head is None]
    derived = [each for each in empty if derived_timeframes().base_of(each)]
    for each in derived:
        async_to_sync(first_fill)(each)
    return states | candle_store().states(derived) if derived else states


def _changed_from(series: SeriesId, state: SeriesState, asked: ExportQuery) -> int:
    """The time from which the series differs from what a client has up to `asked.since`."""
    before = SeriesState(
        asked.since,
        state.epoch if asked.epoch is None else asked.epoch,
        state.generation if asked.generation is None else asked.generation,
    )
    changed = changed_since(candle_store(), series, state, before)
    return max(asked.start, (asked.since or 0) + 1 if changed is None else changed)


def _unchanged(request: Request, export: Export) -> HttpResponse | None:
    """304 for a client that has the file already."""
    tags = request.headers.get("If-None-Match", "")
    if not tags or not is_unchanged(tags, export.headers["ETag"].removeprefix("W/")):
        return None
    answer = _described(HttpResponse(status=304), export)
    for name in ("Content-Type", "Content-Disposition"):
        del answer.headers[name]
    return answer


def _described(answer: A, export: Export) -> A:
    """The answer with the headers of the file."""
    for name, value in export.headers.items():
        answer.headers[name] = value
    answer.headers["Cache-Control"] = "no-cache"
    patch_vary_headers(answer, (VARY,))
    return answer


async def _nothing() -> AsyncGenerator[bytes, None]:
    nothing: tuple[bytes, ...] = ()
    for each in nothing:
        yield each


def _taken(sink: io.BytesIO) -> bytes:
    """What was written since the last time."""
    content = sink.getvalue()
    sink.seek(0)
    sink.truncate()
    return content
