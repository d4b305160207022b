"""BEGIN and COMMIT travel with the first and last statement, and nothing is left open."""

from __future__ import annotations

from contextlib import closing, contextmanager

import pytest
from django.db import connection, transaction
from psycopg2 import connect
from psycopg2.extensions import TRANSACTION_STATUS_IDLE

from market.domain.store import Outpaced, StoreUnavailable
from market.stores import postgres
from market.stores.postgres import PostgresCandleStore
from market.stores.postgres_states import connection_parameters
from market.stores.tests.test_group_writing import NAMES, put_all
from market.stores.tests.test_store_contract import put
from market.tests.builders import MINUTE, candle, candles

LOCK = "SELECT pg_try_advisory_lock(hashtextextended(%s, 0))"


@pytest.fixture
def store(transactional_db):
    return PostgresCandleStore()


@pytest.fixture
def sent(monkeypatch):
    """The first and the last word of each text that is sent with the store's cursor."""
    cursor_of, texts = postgres._cursor, []

    class Recording:
        def __init__(self, cursor):
            self._cursor = cursor

        def __getattr__(self, name):
            return getattr(self._cursor, name)

        def execute(self, text, *values):
            words = (text.decode() if isinstance(text, bytes) else text).replace(";", " ").split()
            texts.append((words[0], words[-1]))
            self._cursor.execute(text, *values)

    @contextmanager
    def recorded():
        with cursor_of() as cursor:
            yield Recording(cursor)

    monkeypatch.setattr(postgres, "_cursor", recorded)
    return texts


@pytest.fixture
def elsewhere():
    """Another session of the database."""
    with closing(connect(**connection_parameters())) as session:
        session.autocommit = True

        def ask(statement, *values):
            with session.cursor() as cursor:
                cursor.execute(statement, values)
                return cursor.fetchone()[0]

        yield ask


def is_free(elsewhere, series=MINUTE):
    """Whether no transaction holds the lock of a series; and the connection is idle."""
    driver = connection.connection
    is_idle = driver.info.transaction_status == TRANSACTION_STATUS_IDLE and driver.autocommit
    return is_idle and connection.get_autocommit() and elsewhere(LOCK, str(series))


def test_candle_takes_two_round_trips_and_is_committed(store, sent, elsewhere):
    put(store, candles(60))
    sent.clear()
    put(store, candles(120))
    assert [first for first, _ in sent] == ["BEGIN", "SELECT"] and sent[1][1] == "COMMIT"
    assert elsewhere("SELECT max(candle_time) FROM candles") == 120
    assert is_free(elsewhere)


def test_group_takes_three_round_trips_and_is_committed(store, sent, elsewhere):
    put_all(store, candles(60))
    sent.clear()
    put_all(store, candles(120))
    assert [first for first, _ in sent] == ["BEGIN", "SELECT", "INSERT"]
    assert sent[-1][1] == "COMMIT"
    assert elsewhere("SELECT count(*) FROM candles") == 2 * len(NAMES)
    assert all(is_free(elsewhere, each) for each in NAMES)


def test_transaction_that_writes_nothing_ends(store, sent, elsewhere):
    with store.writing(MINUTE):
        pass
    assert sent[-1] == ("COMMIT", "COMMIT")
    assert is_free(elsewhere)


def test_what_was_written_before_an_error_is_rolled_back(store, elsewhere):
    put(store, candles(60))
    with pytest.raises(RuntimeError), store.writing(MINUTE) as writer:
        writer.upsert(candles(30, 60, 120))
        raise RuntimeError
    assert elsewhere("SELECT count(*) FROM candles") == 1
    assert is_free(elsewhere)


def test_last_statement_that_fails_is_rolled_back(store, elsewhere):
    with pytest.raises(Outpaced), store.writing(MINUTE) as writer:
        writer.upsert([candle(60)])
        writer.defer(lambda cursor, entries: b"SELECT 1 / 0", None)
    assert elsewhere("SELECT count(*) FROM candles") == 0
    assert is_free(elsewhere)


def test_lost_connection_is_replaced(store, elsewhere):
    put(store, candles(60))
    with pytest.raises(StoreUnavailable), store.writing(MINUTE) as writer:
        elsewhere("SELECT pg_terminate_backend(%s)", connection.connection.info.backend_pid)
        writer.upsert(candles(120))
    assert put(store, candles(120)).inserted == [120]
    assert is_free(elsewhere)


def test_transaction_within_another_is_a_savepoint(store, elsewhere):
    with transaction.atomic():
        with pytest.raises(RuntimeError), store.writing(MINUTE) as writer:
            writer.upsert(candles(30, 60))
            raise RuntimeError
        put(store, candles(120))
        assert elsewhere("SELECT count(*) FROM candles") == 0
    assert elsewhere("SELECT count(*) FROM candles") == 1
    assert is_free(elsewhere)


def test_django_takes_the_block_for_a_transaction(store, elsewhere):
    """For stages that use the ORM: savepoints, and hooks after the commit alone."""
    heads = []
    ask = "SELECT max(candle_time) FROM candles"
    with store.writing(MINUTE) as writer:
        writer.upsert([candle(60)])
        writer.flush()
        transaction.on_commit(lambda: heads.append(elsewhere(ask)))
        with pytest.raises(RuntimeError), transaction.atomic():
            transaction.on_commit(lambda: heads.append("rolled back"))
            writer.upsert([candle(120)])
            writer.flush()
            raise RuntimeError
        assert not heads
    assert heads == [60]
    with pytest.raises(RuntimeError), store.writing(MINUTE):
        transaction.on_commit(lambda: heads.append("rolled back"))
        raise RuntimeError
    put(store, candles(180))
    assert heads == [60]
    assert is_free(elsewhere)
