"""A local exchange for the adapters to talk to."""

from __future__ import annotations

from dataclasses import replace

import pytest

from market.ingest.lease_store_memory import MemoryLeaseStore
from market.local_exchange.generated import GeneratedCandles
from market.local_exchange.server import running_exchange


@pytest.fixture(scope="module")
def server():
    with running_exchange(GeneratedCandles(7), push_ms=100) as running:
        yield running


@pytest.fixture
def exchange(server, settings, monkeypatch):
    """The local exchange, with no faults and nothing remembered of earlier ones."""
    settings.REDIS_URL = ""
    leases = MemoryLeaseStore()
    monkeypatch.setattr("market.ingest.backwards.lease_store", lambda: leases)
    settings.SWITCHES = replace(settings.SWITCHES, sim_url=server.url)
    yield server
    server.clear()
