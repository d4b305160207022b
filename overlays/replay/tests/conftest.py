from __future__ import annotations

from market.api.tests.conftest import (
    api,
    either_store,
    fresh_process,
    in_memory,
    on_postgres,
    switch,
)
from overlays.tests.ledgers import stores

__all__ = ["api", "either_store", "fresh_process", "in_memory", "on_postgres", "stores", "switch"]
