from __future__ import annotations

from factors.tests.recorded import recorded_factors
from market.api.tests.conftest import (
    api,
    either_store,
    fresh_process,
    in_memory,
    on_postgres,
    switch,
)
from overlays.tests.ledgers import stores

__all__ = [
    "api",
    "either_store",
    "fresh_process",
    "in_memory",
    "on_postgres",
    "recorded_factors",
    "stores",
    "switch",
]
