"""GET /api/market/history: compact, immutable chunks of closed candles, and their index."""

from __future__ import annotations

import re
import zlib
from hashlib import blake2b

import orjson
from django.conf import settings
from django.http import HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request

from market.api.answers import HistoryAnswer
from market.api.candle_answer import VARY, accepts_gzip, answer_with, body_of
from market.api.candles import http_response
from market.api.endpoint import Endpoint, require
from market.api.error_codes import ErrorCode
from market.api.errors import ApiError
from market.api.history_chunks import history_chunks
from market.api.readable import readable_series
from market.api.requests import HistoryChunkQuery, HistoryQuery
from market.api.schema import (
    BAD_SERIES_ID,
    SERIES_DAMAGED,
    STORE_DOWN,
    SWITCHED_OFF,
    errors_of,
    parameters_of,
    responses,
)
from market.runtime import candle_store

FORMAT = 1
IMMUTABLE = "public, max-age=31536000, immutable"
NAME = re.compile(r"[0-9]{1,12}-[0-9a-f]{24}")
NO_CHUNK = {404: (ErrorCode.HISTORY_NO_CHUNK, ErrorCode.NOT_FOUND)}


class History(Endpoint):
    """The index: which chunks there are now."""

    @extend_schema(
        operation_id="history",
        summary="List the chunks of a series' history",
        description=(
            "The newest chunks before the time `before`, ascending. An answer may have fewer than "
            "`limit`: go on with `next_before` until it is null. The ETag is the same until a "
            "chunk is added or a revision is stored."
        ),
        parameters=parameters_of(HistoryQuery),
        responses=responses(HistoryAnswer, BAD_SERIES_ID, SWITCHED_OFF, SERIES_DAMAGED, STORE_DOWN)
        | {304: None},
    )
    def get(self, request: Request) -> HttpResponse:
        """A page of the index of a series."""
        require(settings.SWITCHES.enable_compact_history)
        asked = self.query(HistoryQuery)
        series = readable_series(asked.series_id)
        state = candle_store().state(series)
        chunks = history_chunks()
        tail = chunks.tail_start(series, state)
        # Known without computing a name, so that a client that comes back costs one query.
        known = (
            str(series),
            FORMAT,
            state.generation,
            state.epoch,
            tail,
            candle_store().kept_from(series),
            asked.before,
            asked.limit,
        )
        etag = f'"{blake2b(orjson.dumps(known), digest_size=12).hexdigest()}"'
        tags = request.headers.get("If-None-Match", "")
        unchanged = answer_with(body_of(b"", etag, state=state), tags)
        if unchanged.status == 304:
            return http_response(unchanged)
        page = chunks.index(series, state, before=asked.before, limit=asked.limit)
        content = orjson.dumps(
            {
                "series_id": str(series),
                "format": FORMAT,
                "generation": state.generation,
                "epoch": state.epoch,
                "tail_since": page.tail_since,
                "chunks": [each._asdict() for each in page.chunks],
                "next_before": page.next_before,
            }
        )
        return http_response(answer_with(body_of(content, etag, state=state), ""))


class HistoryChunk(Endpoint):
    """One chunk, whose bytes never change."""

    @extend_schema(
        operation_id="history_chunk",
        summary="Read one chunk of history",
        description=(
            "A chunk in the format of docs/history-format.md. Caches may keep it for ever. A name "
            "that is not found was of a past that is revised: read the index again."
        ),
        parameters=[
            OpenApiParameter(
                "name",
                {"type": "string", "examples": ["29666667-5f0c6ae89b2d44175f0c6ae8"]},
                OpenApiParameter.PATH,
                pattern=NAME.pattern,
            ),
            *parameters_of(HistoryChunkQuery),
        ],
        responses={(200, "application/octet-stream"): OpenApiTypes.BINARY}
        | errors_of(BAD_SERIES_ID, NO_CHUNK, SERIES_DAMAGED, STORE_DOWN)
        | {304: None},
    )
    def get(self, request: Request, name: str) -> HttpResponse:
        """The chunk of a series that has this name."""
        require(settings.SWITCHES.enable_compact_history)
        series = readable_series(self.query(HistoryChunkQuery).series_id)
        body = history_chunks().body(series, name) if NAME.fullmatch(name) else None
        if body is None:
            raise ApiError(404, ErrorCode.HISTORY_NO_CHUNK, "no_chunk")
        gzip = accepts_gzip(request.headers.get("Accept-Encoding", ""))
        response = HttpResponse(
            body if gzip else zlib.decompress(body, zlib.MAX_WBITS | 16),
            content_type="application/octet-stream",
            headers={"Cache-Control": IMMUTABLE, "ETag": f'"{name}{".gz" if gzip else ""}"'},
        )
        if gzip:
            response["Content-Encoding"] = "gzip"
        response["Vary"] = VARY
        return response
