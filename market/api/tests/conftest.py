"""A client of the API over an empty store, on PostgreSQL and in memory.

What needs Django is looked up by name: this file is read before Django is set up.
"""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest
from django.db import connections
from django.utils.module_loading import import_string

from lab.waiting import patience
from market.tests.singletons import forget_singletons

TOKEN = "token-of-the-tests"


@pytest.fixture
def fresh_process(settings):
    """Singletons as in a new process; the bus is this process's memory."""
    settings.CHANNEL_LAYERS = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}
    forget_singletons()
    yield
    end_pool()
    forget_singletons()


@pytest.fixture
def switch(settings):
    """Change switches for a test."""

    def change(**values):
        settings.SWITCHES = replace(settings.SWITCHES, **values)

    return change


@pytest.fixture
def in_memory(fresh_process, switch):
    """Memory store, no database."""
    switch(enable_pg_store=False, enable_ws_pubsub=False, ingest_token=TOKEN)


@pytest.fixture
def on_postgres(transactional_db, fresh_process, switch):
    """PostgreSQL store."""
    switch(ingest_token=TOKEN)


# pytest-django sees only fixtures that are asked for by name, and this mark.
POSTGRES = pytest.param("on_postgres", marks=pytest.mark.django_db(transaction=True))


@pytest.fixture(params=["in_memory", POSTGRES])
def either_store(request):
    """Both, one after the other."""
    request.getfixturevalue(request.param)


@pytest.fixture
def api():
    """A client that holds the ingest token."""
    return import_string("market.api.tests.asking.ApiClient")(TOKEN)


def end_pool():
    """Its threads keep connections, which would hold up the removal of the test database."""
    pool = import_string("market.blocking.pool")
    if pool.cache_info().currsize:
        size = pool()._max_workers
        # Every thread closes its own connection, and waits so that none does it twice.
        together = threading.Barrier(size)
        ended = [pool().submit(_close_connections, together) for _ in range(size)]
        for each in ended:
            each.result(patience(10))
        pool().shutdown()
        pool.cache_clear()


def _close_connections(together):
    connections.close_all()
    together.wait(patience(10))
