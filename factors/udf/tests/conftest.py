from __future__ import annotations

import pytest

from market.api.tests.conftest import (
    api,
    either_store,
    fresh_process,
    in_memory,
    on_postgres,
    switch,
)

__all__ = ["api", "either_store", "fresh_process", "in_memory", "on_postgres", "switch"]


@pytest.fixture
def udf(either_store, switch):
    """The routes are on, on either store."""
    switch(enable_udf=True)
