"""Addresses below /udf/, as charts expect them."""

from __future__ import annotations

from django.urls import path

from factors.udf.views import Bars, Config, Marks, Resolve, Search, Time, TimescaleMarks

urlpatterns = [
    path("config", Config.as_view()),
    path("time", Time.as_view()),
    path("symbols", Resolve.as_view()),
    path("search", Search.as_view()),
    path("history", Bars.as_view()),
    path("marks", Marks.as_view()),
    path("timescale_marks", TimescaleMarks.as_view()),
]
