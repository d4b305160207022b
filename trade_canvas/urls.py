"""Every URL, app by app."""

from __future__ import annotations

from django.conf import settings
from django.contrib import admin
from django.urls import URLPattern, URLResolver, include, path
from django.views.i18n import set_language
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView

from trade_canvas.asyncapi import asyncapi
from trade_canvas.log_in import ThrottledLogIn
from trade_canvas.status import views as status
from trade_canvas.views import favicon, healthz, page, readyz

urlpatterns: list[URLPattern | URLResolver] = [
    path("", page, name="page"),
    path("favicon.ico", favicon),
    path("healthz", healthz),
    path("readyz", readyz),
    path("api/market/", include("market.api.urls")),
    path("api/dev/market/", include("market.api.dev_urls")),
    path("api/factor/", include("factors.api.urls")),
    path("api/alerts/", include("factors.alerts.urls")),
    path("api/", include("overlays.api.urls")),
    path("udf/", include("factors.udf.urls")),
    path("api/schema/", SpectacularAPIView.as_view(), name="schema"),
    path("api/asyncapi.json", asyncapi, name="asyncapi"),
    path("api/docs/", SpectacularSwaggerSplitView.as_view(url_name="schema"), name="docs"),
]

# Below /api/ errors are JSON with a code, including those that Django raises before any view.
handler400 = "market.api.errors.bad_request"
handler403 = "market.api.errors.permission_denied"
handler404 = "market.api.errors.page_not_found"
handler500 = "market.api.errors.server_error"

if settings.SWITCHES.enable_pg_store:
    # Without a database there are no accounts and nothing to administer.
    admin.autodiscover()
    admin.site.site_header = admin.site.site_title = "trade_canvas"
    admin.site.login_form = ThrottledLogIn
    admin.site.index_template = "trade_canvas/admin_index.html"
    urlpatterns += [
        path("admin/language/", set_language, name="set_language"),
        *status.urls(),
        path("admin/", admin.site.urls),
    ]
