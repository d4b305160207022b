"""Who may write candles over HTTP: the holder of the ingest token, or an admin in a session."""

from __future__ import annotations

import hmac
from ipaddress import ip_address

from django.conf import settings
from django.contrib.auth import get_user
from django.contrib.auth.models import AbstractUser
from django.http import HttpRequest, HttpResponse
from rest_framework.authentication import CSRFCheck

from market.api.errors import ApiError

SCHEME = "bearer "


def require_writer(request: HttpRequest) -> None:
    """Raise ApiError 401 or 403 unless this request may write."""
    authorization = request.headers.get("Authorization", "")
    forwarded = "X-Forwarded-For" in request.headers
    if may_write(authorization, request.META.get("REMOTE_ADDR", ""), forwarded=forwarded):
        return
    if authorization:
        raise _unauthorised("invalid_token", "the token is not valid")
    if _is_admin(request):
        _require_csrf(request)
        return
    if settings.SWITCHES.ingest_token:
        raise _unauthorised("not_authenticated", "a bearer token or an admin session is needed")
    raise ApiError(403, "writes_disabled", "no ingest token is configured")


def may_write(authorization: str, address: str, *, forwarded: bool) -> bool:
    """Whether an Authorization header, or without a token configured the address, is enough."""
    token = settings.SWITCHES.ingest_token
    if not token:
        return bool(settings.DEBUG) and not forwarded and _is_loopback(address)
    given = authorization[len(SCHEME) :].strip()
    named = authorization[: len(SCHEME)].lower() == SCHEME
    return hmac.compare_digest(given.encode(), token.encode()) and named


def _is_loopback(address: str) -> bool:
    try:
        return ip_address(address).is_loopback
    except ValueError:
        return False


def _is_admin(request: HttpRequest) -> bool:
    # Without a database there are no sessions, and without a cookie there is nothing to look up.
    if not settings.SWITCHES.enable_pg_store:
        return False
    if settings.SESSION_COOKIE_NAME not in request.COOKIES:
        return False
    # Not request.user: REST framework has put its own idea of it there.
    user = get_user(request)
    return isinstance(user, AbstractUser) and user.is_active and user.is_staff


def _no_view(request: HttpRequest) -> HttpResponse:
    """What Django's check wants to know of a view: that it has no exemption."""
    return HttpResponse(status=204)


def _require_csrf(request: HttpRequest) -> None:
    check = CSRFCheck(_no_view)
    check.process_request(request)
    reason = check.process_view(request, _no_view, (), {})
    if reason:
        raise ApiError(403, "csrf_failed", f"CSRF failed: {reason}")


def _unauthorised(code: str, detail: str) -> ApiError:
    return ApiError(401, code, detail, headers={"WWW-Authenticate": "Bearer"})
