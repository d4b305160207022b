"""Fencing tokens of a series whose lock another transaction holds."""

from __future__ import annotations

from contextlib import closing

import psycopg2
import pytest
from django.db import OperationalError, connection

from lab.waiting import patience
from market.stores.postgres import PostgresCandleStore
from market.stores.postgres_errors import is_lock_timeout
from market.stores.postgres_states import connection_parameters
from market.tests.builders import MINUTE

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def locked():
    """Another transaction holds the series' lock."""
    with closing(psycopg2.connect(**connection_parameters())) as other, other.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [str(MINUTE)])
        yield


@pytest.mark.usefixtures("locked")
def test_token_is_not_waited_for_as_long_as_a_write_would():
    with connection.cursor() as cursor:
        # What waits for the lock without a limit ends with another error.
        cursor.execute("SET lock_timeout = 0")
        cursor.execute("SET statement_timeout = %s", [int(1000 * patience(1))])
    with pytest.raises(OperationalError) as refused:
        PostgresCandleStore().next_fence(MINUTE)
    assert is_lock_timeout(refused.value)
    connection.close()
