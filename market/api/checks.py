"""Checks requests against pydantic models; errors become the items of the written contract."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import orjson
from django.utils.translation import gettext_lazy as _
from pydantic import BaseModel, ValidationError

from market.api.error_codes import ErrorCode
from market.api.errors import ApiError, validation_error

M = TypeVar("M", bound=BaseModel)

# Bounds of what an error answer repeats of a request.
MAX_ITEMS = 100
MAX_INPUT_BYTES = 2_000
MAX_INPUT_CHARACTERS = 200


def check_query(model: type[M], query: Mapping[str, Any]) -> M:
    """The query as `model`; raises ApiError 422."""
    names = (field.alias or name for name, field in model.model_fields.items())
    values = {name: query[name] for name in names if name in query}
    return _check(model, values, "query")


def check_body(model: type[M], body: Any) -> M:
    """The parsed body as `model`; raises ApiError 422."""
    return _check(model, body, "body")


def check_range(start: int, end: int | None) -> None:
    """Raise ApiError 400 for a range of times that ends before it begins."""
    if end is not None and end < start:
        raise ApiError(400, ErrorCode.INVALID_RANGE, _("the range ends before it begins"))


def _check(model: type[M], values: Any, place: str) -> M:
    try:
        return model.model_validate(values, from_attributes=True)
    except ValidationError as error:
        items = []
        for found in error.errors(include_url=False)[:MAX_ITEMS]:
            item: dict[str, Any] = dict(found)
            item["loc"] = [place, *found["loc"]]
            is_missing_parameter = place == "query" and found["type"] == "missing"
            item["input"] = None if is_missing_parameter else _shortened(found["input"])
            items.append(item)
        raise validation_error(items) from None


def _shortened(value: Any) -> Any:
    """`value` if it is small, the beginning of a long string, None for a large structure."""
    if isinstance(value, str):
        return value[:MAX_INPUT_CHARACTERS]
    return value if len(orjson.dumps(value)) <= MAX_INPUT_BYTES else None
