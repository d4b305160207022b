"""What the tests of ingest share: lease stores that start empty, in memory and in Valkey."""

from __future__ import annotations

import dataclasses
import uuid

import pytest
from django.conf import settings as django_settings

from market.ingest.lease_store_memory import MemoryLeaseStore
from market.ingest.lease_store_valkey import ValkeyLeaseStore, connect


@pytest.fixture
def valkey_lease_store():
    """A lease store of its own in the session's Valkey, which other test processes use too."""
    client = connect(django_settings.REDIS_URL)
    prefix = f"test:{{{uuid.uuid4().hex}}}:"
    yield ValkeyLeaseStore(client, prefix=lambda: prefix)
    for key in client.scan_iter(match=f"{prefix}*"):
        client.delete(key)
    client.close()
    client.connection_pool.disconnect()


@pytest.fixture(params=["memory", "valkey"])
def lease_store(request):
    if request.param == "memory":
        return MemoryLeaseStore()
    return request.getfixturevalue("valkey_lease_store")


@pytest.fixture
def switched(settings):
    """Set switches for one test."""

    def switch(**values):
        settings.SWITCHES = dataclasses.replace(settings.SWITCHES, **values)

    return switch
