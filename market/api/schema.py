"""Parameters and responses of the endpoints in the OpenAPI schema."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse
from pydantic import BaseModel
from typing_extensions import override

from market.api.answers import ErrorBody, UnprocessableBody, ValidationBody
from market.api.error_codes import ErrorCode


def parameters_of(model: type[BaseModel]) -> list[OpenApiParameter | type]:
    """The query parameters that `model` checks."""
    described = model.model_json_schema()
    required = described.get("required", [])
    return [
        OpenApiParameter(
            name,
            type=_plain(field),
            location=OpenApiParameter.QUERY,
            required=name in required,
            description=field.get("description", ""),
        )
        for name, field in described["properties"].items()
    ]


def _plain(field: dict[str, Any]) -> dict[str, Any]:
    """The schema of a parameter, which may be absent but not null as the model has it."""
    dropped = ("title", "description", "anyOf")
    alternatives = [each for each in field.get("anyOf", []) if each.get("type") != "null"]
    plain = {name: value for name, value in field.items() if name not in dropped}
    if plain.get("default", 0) is None:
        del plain["default"]
    return plain | (alternatives[0] if alternatives else {})


TAGS = {
    "candles": "Closed candles: pages, history, files, and storing them",
    "series": "Which series there are, and how they stand",
    "factors": "What is computed from closed candles",
    "drawings": "How factors are drawn",
    "replay": "A past range with all that was drawn",
    "alerts": "Factor events and prices that are sent out",
    "udf": "The data feed protocol of TradingView's library",
    "operation": "For operators and developers, behind switches",
}
# The first that a path begins with counts.
PLACES = (
    ("/api/market/debug/", "operation"),
    ("/api/dev/", "operation"),
    ("/api/market/ingest/", "candles"),
    ("/api/market/candles", "candles"),
    ("/api/market/history", "candles"),
    ("/api/market/", "series"),
    ("/api/factor/", "factors"),
    ("/api/replay/", "replay"),
    ("/udf/", "udf"),
    ("/api/draw/", "drawings"),
    ("/api/frame/", "drawings"),
    ("/api/delta/", "drawings"),
    ("/api/alert", "alerts"),
    ("/api/", "operation"),
)


class ApiSchema(AutoSchema):
    """Describes an endpoint of ours."""

    @override
    def get_tags(self) -> list[str]:
        return [next(tag for place, tag in PLACES if self.path.startswith(place))]


Errors = Mapping[int, ErrorCode | tuple[ErrorCode, ...]]
"""The errors that an endpoint may answer: codes by status."""

BAD_SERIES_ID = {400: (ErrorCode.INVALID_SERIES_ID, ErrorCode.SERIES_ALIAS)}
SERIES_DAMAGED = {500: ErrorCode.SERIES_DAMAGED}
STORE_DOWN = {503: ErrorCode.STORE_UNAVAILABLE}
SWITCHED_OFF = {404: ErrorCode.NOT_FOUND}
NO_WRITER = {
    401: (ErrorCode.NOT_AUTHENTICATED, ErrorCode.INVALID_TOKEN),
    403: (ErrorCode.WRITES_DISABLED, ErrorCode.CSRF_FAILED, ErrorCode.ORIGIN_NOT_ALLOWED),
}
NO_BODY = {413: ErrorCode.BODY_TOO_LARGE, 415: ErrorCode.UNSUPPORTED_MEDIA_TYPE}
PIPELINE_FAILED: Errors = {
    500: ErrorCode.INGEST_PIPELINE_FAILED,
    503: (
        ErrorCode.STORE_UNAVAILABLE,
        ErrorCode.STORE_FULL,
        ErrorCode.STORE_READ_ONLY,
        ErrorCode.TIMESCALEDB_NOT_LOADED,
    ),
}


# What the stack in front of every endpoint may answer.
COMMON: Errors = {
    400: ErrorCode.BAD_REQUEST,
    422: ErrorCode.VALIDATION_ERROR,
    429: ErrorCode.RATE_LIMITED,
    500: ErrorCode.INTERNAL_ERROR,
    503: (ErrorCode.SERVER_BUSY, ErrorCode.SERVER_SHUTTING_DOWN),
}
LISTED = {ErrorCode.VALIDATION_ERROR, ErrorCode.CANDLE_NOT_CLOSED}
"""Codes whose `detail` is a list."""


def responses(answer: Any, *errors: Errors) -> dict[Any, Any]:
    """The responses of an endpoint: its answer, and its errors with their codes."""
    return {200: answer} | errors_of(*errors)


def errors_of(*errors: Errors) -> dict[Any, Any]:
    """The errors of an endpoint by status, those that every endpoint may answer included."""
    found: dict[int, dict[ErrorCode, None]] = {}
    for each in (*errors, COMMON):
        for status, codes in each.items():
            listed = codes if isinstance(codes, tuple) else (codes,)
            found.setdefault(status, {}).update(dict.fromkeys(listed))
    return {status: _error(list(codes)) for status, codes in sorted(found.items())}


def _error(codes: list[ErrorCode]) -> OpenApiResponse:
    """The response of a status: each code with what it means."""
    body: type[BaseModel] = ErrorBody
    if not LISTED.isdisjoint(codes):
        body = ValidationBody if LISTED.issuperset(codes) else UnprocessableBody
    return OpenApiResponse(body, "\n".join(f"- `{code}`: {code.meaning}" for code in codes))
