"""The messages of a client on `/ws/market`, checked field by field in the contract's order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson

from market.domain.series import SeriesId, SeriesIdError

# A subscribe is shorter than this, whatever fields it has.
MAX_NAMING = 512


class BadRequest(ValueError):
    """An invalid message; `str()` is the error message of the contract."""


@dataclass(frozen=True, slots=True)
class Subscribe:
    """Follow a series from `since` on; the fields are those of Hub.subscribe."""

    series: SeriesId
    since: int | None
    supports_batch: bool
    epoch: int | None
    generation: str | None
    drawings: int | None


@dataclass(frozen=True, slots=True)
class Unsubscribe:
    """Stop following a series; None when the message names no valid one."""

    series: SeriesId | None


@dataclass(frozen=True, slots=True)
class Hello:
    """What the client understands beyond the first protocol: heartbeats, and health of series."""

    heartbeat: bool
    health: bool = False


def parse_request(text: str) -> Subscribe | Unsubscribe | Hello:
    """Parse one client message; raise BadRequest."""
    try:
        body = orjson.loads(text)
    except orjson.JSONDecodeError:
        raise BadRequest("invalid json") from None
    if not isinstance(body, dict):
        raise BadRequest("invalid message envelope")
    kind = body.get("type")
    if not isinstance(kind, str) or not kind:
        raise BadRequest("missing message type")
    if kind == "subscribe":
        return _subscribe(body)
    if kind == "unsubscribe":
        return _unsubscribe(body)
    if kind == "hello":
        return Hello(bool(_boolean(body, "heartbeat")), bool(_boolean(body, "health")))
    raise BadRequest(f"unknown message type: {kind[:100]}")


def series_of_subscribe(text: str | None) -> SeriesId | None:
    """The series of a subscribe that is refused unread, so that its client knows what to ask again.

    None for any other message, and for a long one: refusing a message must cost less than
    accepting it.
    """
    if text is None or len(text) > MAX_NAMING:
        return None
    try:
        request = parse_request(text)
    except BadRequest:
        return None
    return request.series if isinstance(request, Subscribe) else None


def _subscribe(body: dict[str, Any]) -> Subscribe:
    name = body.get("series_id")
    if not isinstance(name, str) or not name.strip():
        raise BadRequest("missing series_id")
    since = _integer(body, "since")
    supports_batch = _boolean(body, "supports_batch")
    epoch = _integer(body, "epoch")
    generation = body.get("generation")
    if generation is not None and not isinstance(generation, str):
        raise BadRequest("invalid generation")
    drawings = _integer(body, "drawings")
    try:
        series = SeriesId.parse(name)
    except SeriesIdError as error:
        raise BadRequest(str(error)) from error
    return Subscribe(series, since, bool(supports_batch), epoch, generation, drawings)


def _unsubscribe(body: dict[str, Any]) -> Unsubscribe:
    try:
        return Unsubscribe(SeriesId.parse(str(body.get("series_id"))))
    except SeriesIdError:
        return Unsubscribe(None)


def _boolean(body: dict[str, Any], name: str) -> bool | None:
    value = body.get(name)
    if value is not None and not isinstance(value, bool):
        raise BadRequest(f"invalid {name}")
    return value


def _integer(body: dict[str, Any], name: str) -> int | None:
    value = body.get(name)
    # A JSON boolean counts as 1 or 0: clients of the contract may rely on it.
    if value is not None and not isinstance(value, int):
        raise BadRequest(f"invalid {name}")
    return None if value is None else int(value)
