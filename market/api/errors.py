"""Every error answer of the API: ``{"detail": ..., "code": "<stable code>"}``."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

import orjson
from django.core.exceptions import PermissionDenied, SuspiciousOperation
from django.db import Error as DatabaseError
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from django.views import defaults
from rest_framework.exceptions import APIException, MethodNotAllowed
from rest_framework.response import Response

from market.api.asgi import HeaderList, Scope, Send, header_list, respond_json
from market.api.error_codes import ErrorCode
from market.domain.lease_store import LeaseStoreUnavailable
from market.domain.series import SeriesAlias, SeriesIdError
from market.domain.store import SeriesDamaged
from market.pipeline import PipelineError, SeriesDerived
from market.wording import in_language_of, language_headers, lazily_explained

logger = logging.getLogger(__name__)

# Errors below these are JSON.
API_PREFIXES = ("/api/", "/udf/")
RETRY_SOON = {"Retry-After": "1"}


class ApiError(Exception):
    """An error answer: status, stable code, and a detail text or list of validation items.

    A detail may be lazy: it is then in the language of the client, if that is one of ours.
    `fields` come after detail and code.
    """

    def __init__(
        self,
        status: int,
        code: ErrorCode,
        detail: Any,
        *,
        headers: Mapping[str, str] | None = None,
        fields: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(code)
        self.status = status
        self.code = code
        self.detail = detail
        self.headers = dict(headers or {})
        self.fields = dict(fields or {})

    def body(self) -> dict[str, Any]:
        """The answer's body, in the language of the moment."""
        detail = str(self.detail) if isinstance(self.detail, Promise) else self.detail
        return {"detail": detail, "code": self.code, **self.fields}

    def answer(self, accept_language: str) -> tuple[dict[str, Any], dict[str, str]]:
        """Body and headers in the language that the client prefers."""
        with in_language_of(accept_language) as language:
            return self.body(), self.headers | language_headers(language)

    async def send(self, scope: Scope, send: Send, *headers: tuple[bytes, bytes]) -> None:
        """Send the answer to an ASGI request, with further headers."""
        accepted = dict(scope.get("headers", ())).get(b"accept-language", b"").decode("latin-1")
        body, own = self.answer(accepted)
        await respond_json(send, self.status, body, *header_list(own), *headers)

    def header_list(self) -> HeaderList:
        """The answer's own headers, as ASGI has them."""
        return header_list(self.headers)


def validation_error(
    items: list[dict[str, Any]], *, code: ErrorCode = ErrorCode.VALIDATION_ERROR
) -> ApiError:
    """422 with one item per error."""
    # The written order of an item's fields.
    names = ("type", "loc", "msg", "input", "ctx")
    whole = [{"input": None} | item for item in items]
    return ApiError(422, code, [{k: item[k] for k in names if k in item} for item in whole])


def as_api_error(error: Exception) -> ApiError | None:
    """The answer to an exception, or None for an unexpected one."""
    for kind, translate in _TRANSLATIONS:
        if isinstance(error, kind):
            answer: ApiError = translate(error)
            return answer
    return None


def _of_derived(error: SeriesDerived) -> ApiError:
    return ApiError(
        409,
        ErrorCode.DERIVED_SERIES,
        _("%(series)s is derived: send the candles of its base") % {"series": error.series},
    )


def _of_pipeline(error: PipelineError) -> ApiError:
    """503 if the store could not take anything, so that clients retry; else 500."""
    refusal = error.refusal
    if refusal is None:
        return ApiError(500, ErrorCode.INGEST_PIPELINE_FAILED, str(error))
    return ApiError(503, ErrorCode(refusal.code), _(str(refusal)), headers=RETRY_SOON)


def _of_alias(error: SeriesAlias) -> ApiError:
    canonical = {"canonical_series_id": str(error.canonical)}
    return ApiError(400, ErrorCode.SERIES_ALIAS, lazily_explained(error), fields=canonical)


def _of_framework(error: Any) -> ApiError:
    """REST framework's own errors: method, media type and the like."""
    if isinstance(error, MethodNotAllowed):
        return ApiError(405, ErrorCode.METHOD_NOT_ALLOWED, _("Method Not Allowed"))
    is_known = error.default_code in set(ErrorCode)
    code = ErrorCode(error.default_code) if is_known else ErrorCode.BAD_REQUEST
    return ApiError(error.status_code, code, str(error.detail))


_TRANSLATIONS: tuple[tuple[type[Exception] | tuple[type[Exception], ...], Any], ...] = (
    (ApiError, lambda error: error),
    (SeriesAlias, _of_alias),
    (
        SeriesIdError,
        lambda error: ApiError(400, ErrorCode.INVALID_SERIES_ID, lazily_explained(error)),
    ),
    (SeriesDerived, _of_derived),
    (PipelineError, _of_pipeline),
    (
        SeriesDamaged,
        lambda error: ApiError(500, ErrorCode.SERIES_DAMAGED, _("a stored candle is damaged")),
    ),
    (
        (DatabaseError, TimeoutError),
        lambda error: ApiError(
            503, ErrorCode.STORE_UNAVAILABLE, _("the store does not answer"), headers=RETRY_SOON
        ),
    ),
    (
        LeaseStoreUnavailable,
        lambda error: ApiError(
            503, ErrorCode.REGISTRY_UNAVAILABLE, _("the ingest registry does not answer")
        ),
    ),
    (Http404, lambda error: ApiError(404, ErrorCode.NOT_FOUND, _("Not Found"))),
    (PermissionDenied, lambda error: ApiError(403, ErrorCode.PERMISSION_DENIED, _("Forbidden"))),
    (SuspiciousOperation, lambda error: ApiError(400, ErrorCode.BAD_REQUEST, _("Bad Request"))),
    (APIException, _of_framework),
)


def answer_to(error: Exception, place: str) -> ApiError:
    """The answer to any exception; an unexpected one is logged as a failure of `place`."""
    answer = as_api_error(error)
    if isinstance(error, SeriesDamaged):
        # Found at every read, and a traceback would not say more.
        logger.warning("%s: %s", place, error)
    elif answer is None or answer.status == 500:
        logger.error("%s failed", place, exc_info=error)
    return answer or ApiError(500, ErrorCode.INTERNAL_ERROR, _("Internal Server Error"))


def handle_exception(error: Exception, context: Mapping[str, Any]) -> Response:
    """REST framework's exception handler: every exception of a view gets a code."""
    request = context.get("request")
    accepted = request.headers.get("Accept-Language", "") if request is not None else ""
    # REST framework's own texts are translated when they are first used.
    with in_language_of(accepted):
        answer = answer_to(error, type(context.get("view")).__name__)
        body, headers = answer.answer(accepted)
    return Response(body, status=answer.status, headers=headers)


def _error_page(
    status: int, code: ErrorCode, detail: Promise, page: Callable[..., HttpResponseBase]
) -> Callable[..., HttpResponseBase]:
    """An error handler of Django: JSON below /api/, Django's `page` elsewhere."""
    error = ApiError(status, code, detail)

    def handler(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if request.path_info.startswith(API_PREFIXES):
            body, headers = error.answer(request.headers.get("Accept-Language", ""))
            content = orjson.dumps(body)
            kind = "application/json"
            return HttpResponse(content, status=status, content_type=kind, headers=headers)
        return page(request, *args, **kwargs)

    return handler


page_not_found = _error_page(404, ErrorCode.NOT_FOUND, _("Not Found"), defaults.page_not_found)
permission_denied = _error_page(
    403, ErrorCode.PERMISSION_DENIED, _("Forbidden"), defaults.permission_denied
)
server_error = _error_page(
    500, ErrorCode.INTERNAL_ERROR, _("Internal Server Error"), defaults.server_error
)
# For example for a Host header that is not allowed.
bad_request = _error_page(400, ErrorCode.BAD_REQUEST, _("Bad Request"), defaults.bad_request)
