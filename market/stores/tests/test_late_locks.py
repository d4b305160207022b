"""A candle of a series that only this process writes takes one round trip, and is never written
upon another state than the one that it was computed from."""

from __future__ import annotations

import threading

import pytest
from django.db import connection, connections, transaction

from market.domain.store import Fence, Outpaced, StaleFence
from market.pipeline import Pipeline
from market.stores import postgres_known
from market.stores.postgres import PostgresCandleStore
from market.stores.postgres_known import TRUSTED_AFTER
from market.stores.tests.test_group_writing import put_all
from market.stores.tests.test_store_contract import OTHER, put
from market.stores.tests.test_transactions import elsewhere, is_free, sent, store
from market.tests.builders import MINUTE, candle, candles

__all__ = ["elsewhere", "sent", "store"]

# The first makes the row, the others find it as it was left.
TRUSTED = [60 * number for number in range(1, TRUSTED_AFTER + 2)]
LAST = TRUSTED[-1]


def add(store, *times, **options):
    """Append candles as the pipeline does."""
    return put(store, candles(*times), may_lock_late=True, **options)


@pytest.fixture
def trusted(store, sent):
    """The store, once it relies on the row of MINUTE."""
    for time in TRUSTED:
        add(store, time)
    sent.clear()
    return store


def times_of(store):
    return [each.candle_time for each in store.read_after(MINUTE, 0, 100)]


def test_candle_takes_one_round_trip_once_the_row_is_trusted(store, sent, elsewhere):
    for time in TRUSTED:
        add(store, time)
    assert [first for first, _ in sent[-2 * TRUSTED_AFTER :]] == ["BEGIN", "SELECT"] * TRUSTED_AFTER
    sent.clear()
    add(store, LAST + 60)
    assert sent == [("BEGIN", "COMMIT")]
    assert times_of(store) == [*TRUSTED, LAST + 60]
    assert store.state(MINUTE).head == LAST + 60
    assert is_free(elsewhere)


@pytest.mark.parametrize(
    "change",
    [
        lambda other: add(other, LAST + 30),
        lambda other: Pipeline(other).ingest(MINUTE, [candle(60, close=1.9)]),
        lambda other: other.next_fence(MINUTE),
        lambda other: connection.cursor().execute("UPDATE series SET is_derived = true"),
        lambda other: connection.cursor().execute("UPDATE installation SET generation = 'new'"),
    ],
    ids=["head", "epoch", "fence", "derived", "generation"],
)
def test_candle_is_not_written_upon_another_state(trusted, elsewhere, change):
    change(PostgresCandleStore())
    before = times_of(trusted)
    with pytest.raises(Outpaced):
        add(trusted, LAST + 60)
    assert times_of(trusted) == before
    # The next one reads the row.
    add(trusted, LAST + 120)
    assert times_of(trusted) == [*before, LAST + 120]
    assert is_free(elsewhere)


def test_pipeline_names_the_predecessor_that_another_process_committed(trusted):
    add(PostgresCandleStore(), LAST + 60)
    change = Pipeline(trusted).ingest(MINUTE, candles(LAST + 120))
    assert change.predecessor == LAST + 60


def test_processes_that_write_in_turn_read_the_row(store, sent):
    other = PostgresCandleStore()
    for time in range(60, 1200, 120):
        add(store, time)
        add(other, time + 60)
    assert [first for first, _ in sent[-4:]] == ["BEGIN", "SELECT"] * 2


def test_two_writers_at_once_are_both_stored(trusted, transactional_db):
    """The second waits for the lock behind the first, whose state it does not know."""
    other, has_written, is_locked = PostgresCandleStore(), threading.Event(), threading.Event()
    for time in (LAST + 60, LAST + 120, LAST + 180, LAST + 240, LAST + 300):
        add(other, time)
    failures = []

    def write():
        try:
            with other.writing(MINUTE, may_lock_late=True) as writer:
                writer.upsert(candles(LAST + 360))
                writer.advance(LAST + 360, revised_from=None)
                has_written.set()
                assert is_locked.wait(20)
        except Outpaced as error:
            failures.append(error)
        finally:
            connections.close_all()

    thread = threading.Thread(target=write)
    thread.start()
    assert has_written.wait(20)
    with trusted.writing(MINUTE) as writer:
        is_locked.set()
        writer.upsert(candles(LAST + 330))
        writer.advance(LAST + 330, revised_from=None)
    thread.join(20)
    assert len(failures) == 1
    assert times_of(trusted)[-1] == LAST + 330


def test_revision_locks_before_it_reads(trusted, sent):
    Pipeline(trusted).ingest(MINUTE, [candle(60, close=1.9)])
    assert sent[0][0] == "BEGIN"
    assert trusted.state(MINUTE).epoch == 1
    sent.clear()
    add(trusted, LAST + 60)
    assert sent == [("BEGIN", "COMMIT")]


def test_repeated_candle_keeps_the_row_trusted(trusted, sent):
    Pipeline(trusted).ingest(MINUTE, candles(LAST))
    sent.clear()
    add(trusted, LAST + 60)
    assert sent == [("BEGIN", "COMMIT")]


def test_group_keeps_the_row_trusted(trusted, sent):
    put_all(trusted, candles(LAST + 60))
    sent.clear()
    add(trusted, LAST + 120)
    assert sent == [("BEGIN", "COMMIT")]


def test_transaction_that_writes_nothing_sends_nothing(trusted, sent, elsewhere):
    with trusted.writing(MINUTE, may_lock_late=True):
        pass
    assert not sent
    assert is_free(elsewhere)


def test_row_is_not_trusted_after_a_failure(trusted, sent, elsewhere):
    with pytest.raises(RuntimeError), trusted.writing(MINUTE, may_lock_late=True) as writer:
        writer.upsert(candles(LAST + 60))
        raise RuntimeError
    add(trusted, LAST + 120)
    assert [first for first, _ in sent] == ["BEGIN", "SELECT"]
    assert times_of(trusted) == [*TRUSTED, LAST + 120]
    assert is_free(elsewhere)


def test_older_fence_is_refused(trusted):
    old = trusted.next_fence(MINUTE)
    for time in range(LAST + 60, LAST + 600, 60):
        add(trusted, time, fence=old)
    new = trusted.next_fence(MINUTE)
    with pytest.raises(Outpaced):
        add(trusted, LAST + 600, fence=old)
    with pytest.raises(StaleFence):
        add(trusted, LAST + 600, fence=old)
    add(trusted, LAST + 600, fence=new)
    with pytest.raises(StaleFence):
        add(trusted, LAST + 660, fence=Fence(0, new.generation))


def test_rows_of_few_series_are_kept(trusted, sent, monkeypatch):
    monkeypatch.setattr(postgres_known, "MOST_KNOWN", 1)
    put(trusted, candles(60), OTHER)
    sent.clear()
    add(trusted, LAST + 60)
    assert [first for first, _ in sent] == ["BEGIN", "SELECT"]


def test_stage_that_uses_the_orm_is_inside_the_transaction(trusted, elsewhere):
    with pytest.raises(RuntimeError), trusted.writing(MINUTE, may_lock_late=True):
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("UPDATE series SET kept_from = 7")
        raise RuntimeError
    assert elsewhere("SELECT max(kept_from) FROM series") == 0
    assert is_free(elsewhere)
