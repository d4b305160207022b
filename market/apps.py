from __future__ import annotations

from django.apps import AppConfig

from market.stores.postgres_guard import watch_connections


class MarketConfig(AppConfig):
    name = "market"

    def ready(self) -> None:
        watch_connections()
