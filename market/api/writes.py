"""Who may write candles over HTTP: clients with the ingest token, and admins in a session."""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from io import BytesIO

from asgiref.sync import sync_to_async
from django.conf import settings
from django.contrib.auth import get_user
from django.contrib.auth.models import AbstractUser
from django.contrib.sessions.middleware import SessionMiddleware
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, HttpResponse
from django.utils.functional import Promise
from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy as _
from rest_framework.authentication import CSRFCheck

from market.api.asgi import Scope
from market.api.callers import PROXY_HEADERS, is_allowed_origin, is_loopback
from market.api.error_codes import ErrorCode
from market.api.errors import ApiError

SCHEME = "bearer "
FORMING_PATH = "/api/market/ingest/candle_forming"
WRITE_PATHS = ("/api/market/ingest/", "/api/dev/market/ingest/")


def is_write(method: str, path: str) -> bool:
    """Whether a request is one that `require_writer` checks before its body is used."""
    if method != "POST":
        return False
    # Without the switch a forming candle's body is checked first, as the written contract has it.
    checked_late = path == FORMING_PATH and not settings.SWITCHES.enable_debug_api
    return path.startswith(WRITE_PATHS) and not checked_late


async def may_send_body(scope: Scope) -> bool:
    """Whether `require_writer` could accept a request, from its headers alone."""
    given = dict(scope["headers"])
    authorization = given.get(b"authorization", b"").decode("latin-1")
    address = (scope.get("client") or ("",))[0]
    if may_write(authorization, address, headers=given):
        return True
    return not authorization and await session_is_admins(scope)


async def session_is_admins(scope: Scope) -> bool:
    """Whether the cookies of a request or of a WebSocket's handshake carry an admin's session."""
    if settings.SESSION_COOKIE_NAME.encode() not in dict(scope["headers"]).get(b"cookie", b""):
        return False
    return await sync_to_async(_has_admin_session)(scope)


def _has_admin_session(scope: Scope) -> bool:
    request = ASGIRequest({"method": "GET", **scope}, BytesIO())
    SessionMiddleware(_no_view).process_request(request)
    return is_admin(request)


def require_writer(request: HttpRequest) -> None:
    """Raise ApiError 401 or 403 unless this request may write."""
    authorization = request.headers.get("Authorization", "")
    if may_write(authorization, request.META.get("REMOTE_ADDR", ""), headers=_names(request)):
        _require_own_page(request)
        return
    if authorization:
        raise _unauthorised(ErrorCode.INVALID_TOKEN, _("the token is not valid"))
    if is_admin(request):
        _require_csrf(request)
        return
    if settings.SWITCHES.ingest_token:
        raise _unauthorised(
            ErrorCode.NOT_AUTHENTICATED, _("a bearer token or an admin session is needed")
        )
    raise ApiError(403, ErrorCode.WRITES_DISABLED, _("no ingest token is configured"))


def may_write(authorization: str, address: str, *, headers: Iterable[bytes]) -> bool:
    """Whether an Authorization header is enough, or the address if no token is configured.

    `headers` are the names of the request's headers in lower case: behind a proxy the peer's
    address does not say where the request comes from.
    """
    if settings.SWITCHES.ingest_token:
        return holds_token(authorization)
    return is_unguarded(address, headers=headers)


def is_unguarded(address: str, *, headers: Iterable[bytes]) -> bool:
    """Whether a client needs no credentials: on the machine of a developer without a token."""
    is_local = is_loopback(address) and PROXY_HEADERS.isdisjoint(headers)
    return bool(settings.DEBUG) and not settings.SWITCHES.ingest_token and is_local


def holds_token(authorization: str) -> bool:
    """Whether an Authorization header carries the ingest token, compared in constant time."""
    token = settings.SWITCHES.ingest_token
    given = authorization[len(SCHEME) :].strip()
    named = authorization[: len(SCHEME)].lower() == SCHEME
    same = hmac.compare_digest(given.encode(), token.encode())
    return bool(token) and same and named


def _names(request: HttpRequest) -> list[bytes]:
    return [name.lower().encode("latin-1", "replace") for name in request.headers]


def _require_own_page(request: HttpRequest) -> None:
    """Raise ApiError 403 for a page of another site: a browser here would send its requests."""
    origin = request.headers.get("Origin")
    if origin is not None and not is_allowed_origin(origin, request.headers.get("Host", "")):
        raise ApiError(403, ErrorCode.ORIGIN_NOT_ALLOWED, _("pages of that origin may not write"))


def is_admin(request: HttpRequest) -> bool:
    """Whether a request comes in the session of an admin."""
    # Without a database there are no sessions, and without a cookie there is nothing to look up.
    if not settings.SWITCHES.enable_pg_store:
        return False
    if settings.SESSION_COOKIE_NAME not in request.COOKIES:
        return False
    # Not request.user, which REST framework has replaced.
    user = get_user(request)
    return isinstance(user, AbstractUser) and user.is_active and user.is_staff


def _no_view(request: HttpRequest) -> HttpResponse:
    """A view for Django's check, which asks whether it is exempt."""
    return HttpResponse(status=204)


def _require_csrf(request: HttpRequest) -> None:
    check = CSRFCheck(_no_view)
    check.process_request(request)
    reason = check.process_view(request, _no_view, (), {})
    if reason:
        detail = format_lazy(_("CSRF failed: {reason}"), reason=reason)
        raise ApiError(403, ErrorCode.CSRF_FAILED, detail)


def _unauthorised(code: ErrorCode, detail: Promise) -> ApiError:
    return ApiError(401, code, detail, headers={"WWW-Authenticate": "Bearer"})
