"""Addresses below /api/alerts/."""

from __future__ import annotations

from django.urls import path

from factors.alerts.stream import AlertStream

urlpatterns = [path("stream", AlertStream.as_view())]
