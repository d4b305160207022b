"""JSON in and out with orjson: exact floats, and only strict JSON is read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import IO, Any

import orjson
from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy as _
from rest_framework.parsers import BaseParser
from rest_framework.renderers import BaseRenderer
from typing_extensions import override

from market.api.error_codes import ErrorCode
from market.api.errors import ApiError, validation_error

MAX_BODY_BYTES = 1_000_000


class OrjsonRenderer(BaseRenderer):
    """Writes answers as UTF-8 JSON; bytes are a finished body and are sent unchanged."""

    media_type = "application/json"
    format = "json"
    charset = None
    render_style = "binary"

    @override
    def render(
        self,
        data: Any,
        accepted_media_type: str | None = None,
        renderer_context: Mapping[str, Any] | None = None,
    ) -> bytes:
        if data is None:
            return b""
        return data if isinstance(data, bytes) else orjson.dumps(data)


class OrjsonParser(BaseParser):
    """Reads a JSON body of at most the view's `max_body_bytes`; raises ApiError 413 and 422."""

    media_type = "application/json"

    @override
    def parse(
        self,
        stream: IO[Any],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> Any:
        view = (parser_context or {}).get("view")
        bound = getattr(view, "max_body_bytes", MAX_BODY_BYTES)
        body: bytes = stream.read(bound + 1)
        if len(body) > bound:
            raise too_large(bound)
        return parse_json(body)


def too_large(bound: int) -> ApiError:
    """The answer to a body beyond the bound."""
    detail = format_lazy(_("the body is larger than {bound} bytes"), bound=bound)
    return ApiError(413, ErrorCode.BODY_TOO_LARGE, detail)


def parse_json(body: bytes) -> Any:
    """`body` as Python values; raises ApiError 422 for anything that is not strict JSON."""
    if not body.strip():
        raise validation_error([{"type": "missing", "loc": ["body"], "msg": "Field required"}])
    try:
        values = orjson.loads(body)
        # orjson keeps the last of two equal names, which may not be the one that was meant.
        _REPEATS.decode(body.decode())
        return values
    except orjson.JSONDecodeError as error:
        raise _invalid(error.msg, error.pos) from None
    except RepeatedName as error:
        raise _invalid(str(error), 0) from None
    except (RecursionError, ValueError):
        raise _invalid("nested too deeply, or a number with too many digits", 0) from None


class RepeatedName(ValueError):
    """An object that names one field twice."""


def _reject_repeats(pairs: list[tuple[str, Any]]) -> None:
    names = {name for name, _ in pairs}
    if len(names) != len(pairs):
        raise RepeatedName("a name is given twice in one object")


# Made once: json.loads makes a decoder for each call that has a hook.
_REPEATS = json.JSONDecoder(object_pairs_hook=_reject_repeats)


def _invalid(reason: str, position: int) -> ApiError:
    item = {
        "type": "json_invalid",
        "loc": ["body", position],
        "msg": "JSON decode error",
        "input": {},
        "ctx": {"error": reason},
    }
    return validation_error([item])
