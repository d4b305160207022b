"""Compares what goes over `/ws/market` and `/ws/debug` with the AsyncAPI document."""

from __future__ import annotations

from functools import cache
from typing import Any

import orjson
from jsonschema import Draft7Validator
from jsonschema.validators import extend

from market.domain.series import SeriesIdError
from market.live import messages
from market.live.requests import BadRequest, parse_request
from trade_canvas.asyncapi import schemas

MOST_ITEMS = 20
"""Of a longer list its ends are compared, or the catch-ups of tests would take minutes."""


def _is_integer(checker: Any, instance: Any) -> bool:
    """Whether a value is an integer for the server: 1.0 is none."""
    return isinstance(instance, int) and not isinstance(instance, bool)


StrictValidator = extend(
    Draft7Validator,
    type_checker=Draft7Validator.TYPE_CHECKER.redefine("integer", _is_integer),
)


@cache
def validator(name: str) -> Any:
    """The validator of a message or content, by the name of its schema."""
    whole = {"$ref": f"#/components/schemas/{name}", "components": {"schemas": schemas()}}
    return StrictValidator(whole)


@cache
def _names() -> dict[tuple[str, str | None], str]:
    """The schemas of messages that the server sends, by type, and by event of a notice."""
    found = {}
    for kind in (*messages.MARKET_MESSAGES, *messages.DEBUG_MESSAGES):
        fields = schemas()[kind.__name__]["properties"]
        event = fields["event"].get("const") if fields["type"]["const"] == "system" else None
        found[fields["type"]["const"], event] = kind.__name__
    return found


def complaints_of_sent(payload: bytes) -> list[str]:
    """What of a message from the server is not as the document has it."""
    message = orjson.loads(payload)
    kind = message.get("type")
    name = _names().get((kind, message["event"] if kind == "system" else None))
    if name is None:
        return [f"no such message: {payload[:200]!r}"]
    errors = validator(name).iter_errors(_shortened(message))
    return [f"{name} {each.json_path}: {each.message[:300]}" for each in errors]


def complaints_of_request(text: str) -> list[str]:
    """Where the server and the document differ about a message of a client.

    The server accepts all that the document does. Of what it accepts beyond that, an unsubscribe
    without a series is the only one.
    """
    try:
        body = orjson.loads(text.encode("utf-8", "surrogatepass"))
    except orjson.JSONDecodeError:
        return []
    kind = body.get("type") if isinstance(body, dict) else None
    names = {
        "subscribe": "SubscribeRequest",
        "unsubscribe": "UnsubscribeRequest",
        "hello": "HelloRequest",
    }
    if not isinstance(kind, str) or kind not in names:
        return []
    is_described = validator(names[kind]).is_valid(body)
    try:
        parse_request(text)
        is_accepted = True
    except BadRequest as error:
        # That a text is no series, for one of many reasons, is left to the server.
        is_text = isinstance(body.get("series_id"), str)
        is_no_series = isinstance(error.__cause__, SeriesIdError) or "missing series" in str(error)
        is_accepted = is_described and is_text and is_no_series
    if is_described == is_accepted or kind == "unsubscribe":
        return []
    return [f"accepted: {is_accepted}, described: {is_described}: {text[:300]}"]


def _shortened(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _shortened(each) for key, each in value.items()}
    if isinstance(value, list):
        half = MOST_ITEMS // 2
        ends = value if len(value) <= MOST_ITEMS else value[:half] + value[-half:]
        return [_shortened(each) for each in ends]
    return value
