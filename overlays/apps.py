from __future__ import annotations

from django.apps import AppConfig


class OverlaysConfig(AppConfig):
    name = "overlays"
