"""What a client's request headers ask of a cached body: its coding, and whether it is needed."""

from __future__ import annotations

from functools import lru_cache

from market.api.candle_pages import Body

# What a client gives back when it subscribes, to hear of revisions since.
EPOCH_HEADER = "X-Series-Epoch"


@lru_cache(maxsize=512)
def accepts_gzip(header: str) -> bool:
    """Whether an Accept-Encoding header allows gzip (RFC 9110, 12.5.3)."""
    weights: dict[str, float] = {}
    for part in header.lower().split(","):
        coding, _, parameter = part.partition(";")
        weights[coding.strip()] = _weight(parameter)
    return weights.get("gzip", weights.get("*", 0.0)) > 0


def _weight(parameter: str) -> float:
    name, _, value = parameter.partition("=")
    if name.strip() != "q":
        return 1.0
    try:
        return float(value)
    except ValueError:
        return 0.0


def is_unchanged(if_none_match: str, etag: str) -> bool:
    """Whether an If-None-Match header names `etag` (weak comparison, RFC 9110, 13.1.2)."""
    if if_none_match.strip() == "*":
        return True
    return any(tag.strip().removeprefix("W/") == etag for tag in if_none_match.split(","))


def headers_of(body: Body) -> dict[str, str]:
    """The headers that go with a body, and with the 304 that stands for it."""
    headers = {"ETag": body.etag, "Cache-Control": "no-cache", "Vary": "Accept-Encoding"}
    headers[EPOCH_HEADER] = str(body.epoch)
    return headers | ({"Content-Encoding": body.encoding} if body.encoding else {})
