"""Cursors of paged reads: an opaque text, in which the place of the next page is written."""

from __future__ import annotations

import base64
import binascii
from typing import Any, TypeVar

import orjson
from django.utils.translation import gettext_lazy as _
from pydantic import TypeAdapter, ValidationError

from market.api.error_codes import ErrorCode
from market.api.errors import ApiError

T = TypeVar("T")

LONGEST_CURSOR = 1_000


def cursor_text(place: tuple[Any, ...]) -> str:
    """The cursor of a place."""
    return base64.urlsafe_b64encode(orjson.dumps(tuple(place))).decode()


def place_of(cursor: str, kind: TypeAdapter[T]) -> T:
    """The place of a cursor; raises ApiError 400 `invalid_cursor`."""
    try:
        return kind.validate_json(base64.urlsafe_b64decode(cursor))
    except (ValidationError, ValueError, binascii.Error) as error:
        raise invalid_cursor() from error


def invalid_cursor() -> ApiError:
    """The error for a text that is no cursor of this read."""
    return ApiError(400, ErrorCode.INVALID_CURSOR, _("the cursor is of no earlier answer"))
