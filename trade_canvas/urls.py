"""Every HTTP address, app by app."""

from __future__ import annotations

from django.conf import settings
from django.contrib import admin
from django.urls import URLPattern, URLResolver, include, path

from trade_canvas.views import healthz, page, readyz

urlpatterns: list[URLPattern | URLResolver] = [
    path("", page),
    path("healthz", healthz),
    path("readyz", readyz),
    path("api/market/", include("market.api.urls")),
    path("api/dev/market/", include("market.api.dev_urls")),
]

if settings.SWITCHES.enable_pg_store:
    # Without a database there is nobody to log in and nothing to administer.
    urlpatterns.append(path("admin/", admin.site.urls))
