"""The page at `/`, and the probes `/healthz` (alive) and `/readyz` (can serve)."""

from __future__ import annotations

import re
from base64 import b64encode
from hashlib import sha256

from csp.constants import SELF
from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse, QueryDict
from django.shortcuts import redirect
from django.templatetags.static import static
from django.views.decorators.cache import never_cache
from django.views.decorators.gzip import gzip_page
from django.views.decorators.http import require_safe

from market.domain.series import SeriesId, SeriesIdError
from trade_canvas import __version__, readiness
from trade_canvas.edge.drain import DRAIN, Step

INLINE_SCRIPT = re.compile(rb"<script>(.+?)</script>", re.DOTALL)
PAGE_NOT_BUILT = """<!doctype html>
<title>trade_canvas</title>
<h1>The page is not built</h1>
<p>The server runs, but <code>frontend/dist</code> is missing.
Run <code>make run</code>, or <code>make frontend</code> and start the server again.</p>
<p>The API is at <a href="api/docs/">/api/docs/</a>.</p>
"""


@require_safe
@never_cache
@gzip_page
def page(request: HttpRequest) -> HttpResponse:
    """The chart page; it must not be cached, its assets have hashed names.

    A link to another name of a series leads to the series.
    """
    if (query := canonical_query(request.GET)) is not None:
        return redirect(f"{request.path}?{query}")
    try:
        content = document()
    except FileNotFoundError:
        return HttpResponse(PAGE_NOT_BUILT, status=503)
    response = HttpResponse(content, content_type="text/html; charset=utf-8")
    # The build's own inline script, which requests candles while the page still loads.
    allowed = [SELF, *(_hash_source(script) for script in INLINE_SCRIPT.findall(content))]
    response._csp_update = {"script-src": allowed}  # type: ignore[attr-defined]
    return response


def document() -> bytes:
    """The built page, for the prefix of the request; raises FileNotFoundError."""
    content = (settings.FRONTEND_DIST / "index.html").read_bytes()
    # The build knows no prefix.
    return content.replace(b'"/static/', f'"{static("")}'.encode())


def canonical_query(query: QueryDict) -> str | None:
    """The page's query with the canonical id of the series that it names; None if it has it."""
    try:
        series = SeriesId.parse(query.get("series", ""))
    except SeriesIdError:
        return None
    if series.is_canonical:
        return None
    canonical = query.copy()
    canonical["series"] = str(series.canonical())
    return canonical.urlencode(safe="/:~")


def _hash_source(script: bytes) -> str:
    return f"'sha256-{b64encode(sha256(script).digest()).decode()}'"


@require_safe
def favicon(request: HttpRequest) -> HttpResponseBase:
    """The icon where browsers look for it unasked."""
    return redirect(static("favicon.svg"), permanent=True)


@require_safe
@never_cache
def healthz(request: HttpRequest) -> HttpResponse:
    """The process is up; `version` is the one that it runs."""
    return JsonResponse({"status": "ok", "version": __version__})


@require_safe
@never_cache
def readyz(request: HttpRequest) -> HttpResponse:
    """Whether the process can do its work, part by part: "ok", "off" by its switch, or an error.

    It fails before the process ends, while requests are still served.
    """
    if DRAIN.step is not Step.SERVING:
        return JsonResponse({"status": "leaving", "checks": {}}, status=503)
    checks = readiness.outcomes()
    ready = all(outcome in (readiness.OK, readiness.OFF) for outcome in checks.values())
    status = "ready" if ready else "unavailable"
    return JsonResponse({"status": status, "checks": checks}, status=200 if ready else 503)
