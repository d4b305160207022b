from __future__ import annotations

import io

import pytest
from django.core.management import call_command

from market.api.tests.conftest import fresh_process

__all__ = ["fresh_process"]


@pytest.fixture
def run(transactional_db, fresh_process):
    """Run a command on an empty PostgreSQL store; its standard output."""

    def command(*arguments):
        out = io.StringIO()
        call_command(*map(str, arguments), stdout=out, stderr=io.StringIO())
        return out.getvalue()

    return command
