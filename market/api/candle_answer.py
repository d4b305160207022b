"""The answer to a request for candles: form and coding, headers, and whether it is a 304."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from market.api.asgi import HeaderList
from market.domain.store import SeriesState

# Returned by the client as `epoch` and `generation` when it subscribes, to receive revisions since.
EPOCH_HEADER = b"x-series-epoch"
GENERATION_HEADER = b"x-series-generation"

JSON_TYPE = "application/json"

# A page of candles in the columns of docs/history-format.md.
COMPACT_TYPE = "application/vnd.trade-canvas.candles"

# Depends on this request header, besides those that Django's middleware names.
VARY = "Accept-Encoding"

# Pages of candles have two forms.
CANDLES_VARY = f"Accept, {VARY}"

# A 304 has the headers of the full answer, except those that describe its body.
OF_A_BODY = frozenset({b"content-length", b"content-encoding", b"content-type"})

# Longer than any browser's; such a client gets plain JSON.
MAX_ACCEPT = 256


class Body(NamedTuple):
    """A body as it is sent, in one content coding, with the headers that describe it."""

    content: bytes
    etag: str
    headers: HeaderList


class Answer(NamedTuple):
    """Status, headers and body of an answer."""

    status: int
    headers: HeaderList
    content: bytes


def body_of(
    content: bytes,
    etag: str,
    *,
    state: SeriesState,
    encoding: str | None = None,
    content_type: str = JSON_TYPE,
) -> Body:
    """A body with its headers; `state` is the series' when its candles were read."""
    headers = [
        (b"content-type", content_type.encode()),
        (b"content-length", b"%d" % len(content)),
        (b"etag", etag.encode()),
        (b"cache-control", b"no-cache"),
        (EPOCH_HEADER, b"%d" % state.epoch),
        (GENERATION_HEADER, state.generation.encode()),
    ]
    if encoding:
        headers.append((b"content-encoding", encoding.encode()))
    return Body(content, etag, headers)


def answer_with(body: Body, if_none_match: str) -> Answer:
    """The answer to a client that may have the body already."""
    if if_none_match and is_unchanged(if_none_match, body.etag):
        return Answer(304, [one for one in body.headers if one[0] not in OF_A_BODY], b"")
    return Answer(200, body.headers, body.content)


def is_unchanged(if_none_match: str, etag: str) -> bool:
    """Whether an If-None-Match header names `etag` (weak comparison, RFC 9110, 13.1.2)."""
    if if_none_match.strip() == "*":
        return True
    return any(tag.strip().removeprefix("W/") == etag for tag in if_none_match.split(","))


def accepts_gzip(accept_encoding: str) -> bool:
    """Whether an Accept-Encoding header allows gzip (RFC 9110, 12.5.3)."""
    return len(accept_encoding) <= MAX_ACCEPT and _allows_gzip(accept_encoding)


def prefers_compact(accept: str) -> bool:
    """Whether an Accept header names the compact form, and does not prefer JSON."""
    return len(accept) <= MAX_ACCEPT and _names_compact(accept)


@lru_cache(maxsize=256)
def _allows_gzip(header: str) -> bool:
    weights = _weights(header)
    return weights.get("gzip", weights.get("*", 0.0)) > 0


@lru_cache(maxsize=256)
def _names_compact(header: str) -> bool:
    weights = _weights(header)
    weight = weights.get(COMPACT_TYPE, 0.0)
    return weight > 0 and weight >= weights.get(JSON_TYPE, 0.0)


def _weights(header: str) -> dict[str, float]:
    weights: dict[str, float] = {}
    for part in header.lower().split(","):
        name, _, parameter = part.partition(";")
        weights[name.strip()] = _weight(parameter)
    return weights


def _weight(parameter: str) -> float:
    name, _, value = parameter.partition("=")
    if name.strip() != "q":
        return 1.0
    try:
        return float(value)
    except ValueError:
        return 0.0
