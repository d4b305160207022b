from __future__ import annotations

from django.apps import AppConfig


class FactorsConfig(AppConfig):
    name = "factors"
