"""A client of the API over empty stores, with both ledgers on."""

from __future__ import annotations

import pytest

from factors.tests.recorded import recorded_factors
from market.api.tests.conftest import (
    api,
    either_store,
    fresh_process,
    in_memory,
    on_postgres,
    switch,
)

__all__ = [
    "api",
    "either_store",
    "fresh_process",
    "in_memory",
    "on_postgres",
    "recorded_factors",
    "small",
    "switch",
]


@pytest.fixture
def small(switch):
    """Small pivot windows, so that few candles draw much."""
    switch(pivot_window_major=2, pivot_window_minor=1)
