"""What the tests of ingest share: registries that start empty, in memory and in Valkey."""

from __future__ import annotations

import itertools

import pytest
from django.conf import settings

from market.ingest.registry_memory import MemoryRegistry
from market.ingest.registry_valkey import ValkeyRegistry, connect

_prefixes = itertools.count()


@pytest.fixture
def valkey_registry():
    """A registry of its own in the session's Valkey."""
    client = connect(settings.REDIS_URL)
    prefix = f"test:{{{next(_prefixes)}}}:"
    yield ValkeyRegistry(client, prefix=prefix)
    for key in client.scan_iter(match=f"{prefix}*"):
        client.delete(key)
    client.close()
    client.connection_pool.disconnect()


@pytest.fixture(params=["memory", "valkey"])
def registry(request):
    if request.param == "memory":
        return MemoryRegistry()
    return request.getfixturevalue("valkey_registry")
