"""Addresses below /api/dev/market/."""

from __future__ import annotations

from django.urls import path

from market.api.ingest import ClosedBatch

urlpatterns = [path("ingest/candles_closed_batch", ClosedBatch.as_view())]
