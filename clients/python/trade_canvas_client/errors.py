"""What can go wrong, as exceptions; `code` is the server's stable code (docs/http-api.md)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class TradeCanvasError(Exception):
    """Every error of this package but ValueError, which is for arguments."""


class ConnectionFailed(TradeCanvasError):
    """No server could be reached, or none answered in time."""


class UnexpectedAnswer(TradeCanvasError):
    """The answer is not what a trade_canvas server sends: another address, or a broken proxy."""


class SeriesChanging(TradeCanvasError):
    """The past of the series changed again and again while it was read; try again later."""


class SubscriptionRefused(TradeCanvasError):
    """The server does not let this client follow the series, and trying again is of no use."""

    def __init__(self, code: str, message: str, canonical_series_id: str | None = None) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.canonical_series_id = canonical_series_id
        """The id to use, with `series_alias`."""


class ApiError(TradeCanvasError):
    """The server refused a request."""

    def __init__(
        self,
        status: int,
        code: str,
        detail: Any = "",
        *,
        retry_after_s: float | None = None,
        fields: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(f"{status} {code}: {detail}")
        self.status = status
        self.code = code
        self.detail = detail
        """A text, or a list of items for `validation_error`."""
        self.retry_after_s = retry_after_s
        self.fields = dict(fields or {})
        """What the answer has beside code and detail, such as `canonical_series_id`."""


class BadRequest(ApiError):
    """400 or 422: the request is wrong."""


class NotAllowed(ApiError):
    """401 or 403."""


class NotFound(ApiError):
    """404: there is no such thing, or the server has the feature switched off."""


class Conflict(ApiError):
    """409: what is asked for is not in this state now."""


class RateLimited(ApiError):
    """429: too many requests; `retry_after_s` is how long to wait."""


class Unavailable(ApiError):
    """502, 503 or 504: the server, or what it needs, is away for the moment."""


_KINDS: dict[int, type[ApiError]] = {
    400: BadRequest,
    401: NotAllowed,
    403: NotAllowed,
    404: NotFound,
    409: Conflict,
    422: BadRequest,
    429: RateLimited,
    502: Unavailable,
    503: Unavailable,
    504: Unavailable,
}


def api_error(status: int, body: Any, retry_after_s: float | None = None) -> ApiError:
    """Return the error of an answer; `body` is its JSON, None if it has none."""
    fields = dict(body) if isinstance(body, dict) else {}
    code, detail = str(fields.pop("code", f"http_{status}")), fields.pop("detail", "")
    kind = _KINDS.get(status, ApiError)
    return kind(status, code, detail, retry_after_s=retry_after_s, fields=fields)
