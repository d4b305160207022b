"""Checks requests against pydantic models and words what is wrong as the contract's items."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import orjson
from pydantic import BaseModel, ValidationError

from market.api.errors import ApiError, validation_error

M = TypeVar("M", bound=BaseModel)

# What an error answer repeats of a request is bounded: it must not be larger than the request.
MAX_ITEMS = 100
MAX_INPUT_BYTES = 2_000
MAX_INPUT_CHARACTERS = 200


def check_query(model: type[M], query: Mapping[str, str]) -> M:
    """The query as `model`; raises ApiError 422."""
    values = {name: query[name] for name in model.model_fields if name in query}
    return _check(model, values, "query")


def check_body(model: type[M], body: Any) -> M:
    """The parsed body as `model`; raises ApiError 422."""
    return _check(model, body, "body")


def _check(model: type[M], values: Any, place: str) -> M:
    try:
        return model.model_validate(values, from_attributes=True)
    except ValidationError as error:
        raise _as_api_error(error, place) from None


def _as_api_error(error: ValidationError, place: str) -> ApiError:
    items = []
    for found in error.errors(include_url=False)[:MAX_ITEMS]:
        item: dict[str, Any] = dict(found)
        item["loc"] = [place, *found["loc"]]
        missing_parameter = place == "query" and found["type"] == "missing"
        item["input"] = None if missing_parameter else shortened(found["input"])
        items.append(item)
    return validation_error(items)


def shortened(value: Any) -> Any:
    """`value` if it is small, the beginning of a long text, None for a large structure."""
    if isinstance(value, str):
        return value[:MAX_INPUT_CHARACTERS]
    return value if len(orjson.dumps(value)) <= MAX_INPUT_BYTES else None
