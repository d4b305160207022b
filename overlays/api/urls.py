"""Addresses of drawings and frames below /api/."""

from __future__ import annotations

from django.urls import path

from overlays.api.replay_stream import ReplayStream
from overlays.api.replay_views import (
    BuildReplay,
    CoverageStatus,
    EnsureCoverage,
    PrepareReplay,
    ReplayStatus,
    ReplayWindowView,
)
from overlays.api.views import DeltaPoll, DrawDelta, FrameAtTime, LiveFrame, RepairOverlay

urlpatterns = [
    path("draw/delta", DrawDelta.as_view()),
    path("frame/live", LiveFrame.as_view()),
    path("frame/at_time", FrameAtTime.as_view()),
    path("delta/poll", DeltaPoll.as_view()),
    path("replay/prepare", PrepareReplay.as_view()),
    path("replay/ensure_coverage", EnsureCoverage.as_view()),
    path("replay/coverage_status", CoverageStatus.as_view()),
    path("replay/build", BuildReplay.as_view()),
    path("replay/status", ReplayStatus.as_view()),
    path("replay/window", ReplayWindowView.as_view()),
    path("replay/stream", ReplayStream.as_view()),
    path("dev/repair/overlay", RepairOverlay.as_view()),
]
