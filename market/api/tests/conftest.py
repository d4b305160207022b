"""A client of the API over an empty store, on PostgreSQL and in memory.

What needs Django is looked up by name: this file is read before Django is set up.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
from django.utils.module_loading import import_string

TOKEN = "token-of-the-tests"


@pytest.fixture
def fresh_process(settings):
    """An in-memory bus; every test has singletons of its own anyway."""
    settings.CHANNEL_LAYERS = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}


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


# pytest-django sees only fixtures that are requested by name, and this mark.
POSTGRES = pytest.param("on_postgres", marks=pytest.mark.django_db(transaction=True))


@pytest.fixture(params=["in_memory", POSTGRES])
def either_store(request):
    """Both, one after the other."""
    request.getfixturevalue(request.param)


@pytest.fixture
def api():
    """A client with the ingest token."""
    return import_string("market.api.tests.asking.ApiClient")(TOKEN)


@pytest.fixture
def world(monkeypatch):
    """An exchange behind the rankings of top markets, and the clock of its caches."""
    made = import_string("market.api.tests.ranked_exchange.World")()
    monkeypatch.setattr("market.api.top_markets.exchange_loop", lambda: made.loop)
    yield made
    made.loop.close()
    assert made.exchange.closed or not made.opened
