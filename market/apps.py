from __future__ import annotations

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _

from market.stores.postgres_guard import watch_connections


class MarketConfig(AppConfig):
    name = "market"
    verbose_name = _("Market")

    def ready(self) -> None:
        watch_connections()
