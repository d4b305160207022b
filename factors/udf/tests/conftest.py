from __future__ import annotations

from market.api.tests.conftest import (
    api,
    either_store,
    fresh_process,
    in_memory,
    on_postgres,
    switch,
)

__all__ = ["api", "either_store", "fresh_process", "in_memory", "on_postgres", "switch"]
