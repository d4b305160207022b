"""Parameters and responses of the endpoints in the OpenAPI schema."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import OpenApiParameter, OpenApiResponse
from pydantic import BaseModel

from market.api.answers import ErrorBody, ValidationBody


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


BAD_SERIES_ID = {400: "invalid_series_id, series_alias"}
SERIES_DAMAGED = {500: "series_damaged"}
STORE_DOWN = {503: "store_unavailable"}
SWITCHED_OFF = {404: "not_found: the feature is switched off"}
NO_WRITER = {
    401: "not_authenticated, invalid_token",
    403: "writes_disabled, csrf_failed",
}
NO_BODY = {413: "body_too_large", 415: "unsupported_media_type"}
PIPELINE_FAILED = {
    500: "market.ingest_pipeline_failed",
    503: "store_unavailable, store_full or store_read_only",
}


def responses(answer: Any, *errors: dict[int, str]) -> dict[Any, Any]:
    """The responses of an endpoint: its answer, and its errors with their codes."""
    return {200: answer} | errors_of(*errors)


def errors_of(*errors: dict[int, str]) -> dict[Any, Any]:
    """The errors of an endpoint by status, validation errors included."""
    found: dict[Any, Any] = {
        422: OpenApiResponse(ValidationBody, description="code: validation_error")
    }
    for each in errors:
        for status, codes in each.items():
            found[status] = OpenApiResponse(ErrorBody, description=f"code: {codes}")
    return found
