"""Commands on an empty PostgreSQL store."""

from __future__ import annotations

import io

import pytest
from django.core.management import call_command
from django.utils.module_loading import import_string


@pytest.fixture
def empty_store(transactional_db, settings):
    """The store of the command line, empty, and an in-memory bus."""
    settings.CHANNEL_LAYERS = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}
    return import_string("market.runtime.candle_store")()


@pytest.fixture
def run(empty_store):
    """Run a command; its standard output."""

    def command(*arguments):
        out = io.StringIO()
        call_command(*map(str, arguments), stdout=out, stderr=io.StringIO())
        return out.getvalue()

    return command
