"""/admin/status/: the status of the installation, refreshed by a script or else by the browser."""

from __future__ import annotations

from pathlib import Path

from django.conf import settings
from django.contrib import admin
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from market.domain.series import SeriesId, SeriesIdError
from market.installation.status import InstallationStatus, read_status
from market.installation.words import as_time
from market.models import Series
from trade_canvas.status.rows import Heads, tables

ASSETS = {"status.js": "text/javascript", "status.css": "text/css"}
MOST_STORED = 500


@require_safe
@never_cache
def status(request: HttpRequest) -> HttpResponse:
    """The page; with `part` in the query only the tables, for its script."""
    known = read_status()
    context = {
        "tables": tables(
            known, _other_series(known), has_workers=not settings.SWITCHES.ingest_in_process
        ),
        "at": as_time(known.at),
    }
    if "part" in request.GET:
        return TemplateResponse(request, "trade_canvas/status_tables.html", context)
    context |= {**admin.site.each_context(request), "title": _("Status")}
    return TemplateResponse(request, "trade_canvas/status.html", context)


@require_safe
def asset(request: HttpRequest, name: str) -> HttpResponse:
    """The page's script and style: the content policy allows no inline ones."""
    if name not in ASSETS:
        raise Http404
    content = (Path(__file__).parent / name).read_bytes()
    return HttpResponse(content, content_type=ASSETS[name])


def _other_series(known: InstallationStatus) -> Heads:
    """Heads of the series that no other table has, at most MOST_STORED."""
    shown = [str(each.series) for each in known.followed]
    shown += [str(each.series) for each in known.derived]
    rows = Series.objects.exclude(name__in=shown).exclude(head_time=None).order_by("name")
    found: Heads = {}
    for name, head in rows.values_list("name", "head_time")[:MOST_STORED]:
        try:
            found[SeriesId.parse(name)] = head
        except SeriesIdError:
            continue
    return found


def urls() -> list[URLPattern]:
    """The page's URLs, which must come before the admin's own."""
    return [
        path("admin/status/", admin.site.admin_view(status), name="status"),
        path("admin/status/<str:name>", admin.site.admin_view(asset, cacheable=True)),
    ]
