"""Django middleware of our own: headers, cookies, static files, languages, errors in JSON."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from typing import Any

from csp.constants import NONE
from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.middleware.gzip import GZipMiddleware
from django.middleware.locale import LocaleMiddleware
from django.urls import get_script_prefix
from django.utils import translation
from django.utils.cache import patch_vary_headers
from typing_extensions import override
from whitenoise.middleware import WhiteNoiseMiddleware

from market.api.candle_answer import VARY, accepts_gzip
from market.api.errors import API_PREFIXES, bad_request, page_not_found

ADMIN_PREFIX = "/admin/"

# Our pages use none of these, so an injected script may not either.
DENIED_FEATURES = (
    "accelerometer",
    "camera",
    "display-capture",
    "geolocation",
    "gyroscope",
    "magnetometer",
    "microphone",
    "payment",
    "usb",
)

# Below this size compressing saves less than it costs.
MIN_GZIP_BYTES = 1024
GZIPPED_TYPES = ("application/json", "application/vnd.oai.openapi")

# Tracebacks of 500 stay pages: they are what DEBUG is for.
DEBUG_PAGES = {400: bad_request, 404: page_not_found}


# Data, scripts and styles load nothing themselves, wherever they are opened.
DATA_POLICY = {"default-src": [NONE], "frame-ancestors": [NONE]}


class ContentPolicies:
    """Limits what pages may use and load; neither Django nor a library sets Permissions-Policy.

    Every other answer gets a policy that allows nothing: the page's own is half a kilobyte.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Add a page's header, or have CSPMiddleware send the short policy."""
        response = self._get_response(request)
        if response.headers.get("Content-Type", "").startswith("text/html"):
            policy = ", ".join(f"{feature}=()" for feature in DENIED_FEATURES)
            response.headers["Permissions-Policy"] = policy
        else:
            response._csp_config = DATA_POLICY  # type: ignore[attr-defined]
        return response


class CookiePaths:
    """Limits cookies to the prefix of the request: other applications may live on the host.

    Settings can name one path only, and the prefix may be another for each request.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Set the path of each cookie, also where one is deleted."""
        response = self._get_response(request)
        for cookie in response.cookies.values():
            cookie["path"] = get_script_prefix()
        return response


class JsonGzip(GZipMiddleware):
    """Compresses answers of the API from `MIN_GZIP_BYTES` on, for clients that accept it.

    They hold nothing secret, so their length may be known (BREACH) and they need no random bytes.
    """

    # Exclusive: none.
    max_random_bytes = 1

    @override
    def process_response(
        self, request: HttpRequest, response: HttpResponseBase
    ) -> HttpResponseBase:
        is_text = response.headers.get("Content-Type", "").startswith(GZIPPED_TYPES)
        if not is_text or not isinstance(response, HttpResponse) or response.streaming:
            return response
        if len(response.content) < MIN_GZIP_BYTES or response.has_header("Content-Encoding"):
            return response
        if not accepts_gzip(request.headers.get("Accept-Encoding", "")):
            patch_vary_headers(response, (VARY,))
            return response
        return super().process_response(request, response)


class AdminLanguage:
    """Django's LocaleMiddleware for the admin only.

    Answers of the API must stay as they are, and need no look at cookies and languages; their
    errors are translated in `market.api.errors`.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response
        # Not async, so it returns no coroutine.
        self._translated: Callable[[HttpRequest], Any] = LocaleMiddleware(get_response)

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Answer in the language of the cookie, or else of the browser."""
        if not request.path_info.startswith(ADMIN_PREFIX):
            return self._get_response(request)
        # LocaleMiddleware leaves its language behind, for the next request on this thread.
        with translation.override(settings.LANGUAGE_CODE, deactivate=True):
            answer: HttpResponseBase = self._translated(request)
            return answer


class JsonErrors:
    """Below /api/, answers errors before any view as in production when DEBUG is on.

    With DEBUG, Django makes pages for people of them and does not ask our error handlers.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Replace Django's debug page of an error."""
        response = self._get_response(request)
        if not settings.DEBUG or not request.path_info.startswith(API_PREFIXES):
            return response
        handler = DEBUG_PAGES.get(response.status_code)
        is_page = response.headers.get("Content-Type", "").startswith("text/html")
        return handler(request) if handler and is_page else response


class StaticFiles(WhiteNoiseMiddleware):  # type: ignore[misc]  # has no annotations
    """whitenoise with whole responses.

    Under ASGI Django reads a streamed file to its end in a thread anyway, and warns each time; our
    largest file has some megabytes.
    """

    @staticmethod
    @override
    def serve(static_file: Any, request: HttpRequest) -> HttpResponse:
        found = static_file.get_response(request.method, request.META)
        content = b""
        if found.file is not None:
            with closing(found.file) as file:
                content = file.read()
        answer = HttpResponse(content, status=int(found.status))
        del answer["Content-Type"]
        for name, value in found.headers:
            answer[name] = value
        return answer
