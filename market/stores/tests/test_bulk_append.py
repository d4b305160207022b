"""Many candles beyond the head of a series, of which the table has some all the same."""

from __future__ import annotations

import pytest
from django.db import connection

from market.stores.postgres import PostgresCandleStore
from market.stores.postgres_writer import COPY_FROM_ROWS
from market.stores.tests.test_store_contract import put
from market.tests.builders import MINUTE, candle, candles

ROWS = candles(*range(120, 60 * (COPY_FROM_ROWS + 3), 60))


@pytest.fixture
def store(transactional_db):
    """A store with one candle, and another that a change by hand has put beyond its head."""
    store = PostgresCandleStore()
    put(store, candles(60))
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO candles (series_id, candle_time, open, high, low, close, volume)"
            " SELECT id, 180, 1, 9, 0.5, 8, 7 FROM series"
        )
    return store


def test_candle_beyond_the_head_is_overwritten(store):
    put(store, ROWS)
    assert store.read_after(MINUTE, 0, 999) == [candle(60), *ROWS]
    assert store.state(MINUTE).head == ROWS[-1].candle_time


def test_candle_beyond_the_head_is_overwritten_in_a_group(store):
    with store.writing_group({MINUTE: None}) as group:
        (writer,) = group.writers
        writer.upsert(ROWS)
        writer.advance(ROWS[-1].candle_time, revised_from=None)
    assert store.read_after(MINUTE, 0, 999) == [candle(60), *ROWS]
    assert store.state(MINUTE).head == ROWS[-1].candle_time
