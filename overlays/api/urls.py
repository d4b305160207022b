"""Addresses of drawings and frames below /api/."""

from __future__ import annotations

from django.urls import path

from overlays.api.views import DeltaPoll, DrawDelta, FrameAtTime, LiveFrame, RepairOverlay

urlpatterns = [
    path("draw/delta", DrawDelta.as_view()),
    path("frame/live", LiveFrame.as_view()),
    path("frame/at_time", FrameAtTime.as_view()),
    path("delta/poll", DeltaPoll.as_view()),
    path("dev/repair/overlay", RepairOverlay.as_view()),
]
