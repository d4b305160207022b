"""Addresses below /api/factor/."""

from __future__ import annotations

from django.urls import path

from factors.api.events import FactorEvents
from factors.api.features import FactorFeatures
from factors.api.views import Catalog, FactorHealth, Slices

urlpatterns = [
    path("catalog", Catalog.as_view()),
    path("events", FactorEvents.as_view()),
    path("features", FactorFeatures.as_view()),
    path("health", FactorHealth.as_view()),
    path("slices", Slices.as_view()),
]
