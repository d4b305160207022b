"""The contract of writing several series in one transaction, for every candle store."""

from __future__ import annotations

import threading
from contextlib import contextmanager

import pytest
from django.db import connections

from lab.waiting import patience
from market.domain.series import SeriesId
from market.domain.store import Fence
from market.stores.memory import MemoryCandleStore
from market.stores.postgres import PostgresCandleStore
from market.stores.tests.test_store_contract import put
from market.tests.builders import candles

NAMES = [SeriesId.parse(f"binance:spot:G{number}/USDT:1m") for number in range(4)]
A, B, C, D = NAMES


@pytest.fixture(params=[MemoryCandleStore, PostgresCandleStore])
def store(request, transactional_db):
    return request.param()


@pytest.fixture
def elsewhere():
    """Holds the lock of a series in another thread, on a connection of its own."""

    @contextmanager
    def holding(store, series):
        held, done = threading.Event(), threading.Event()

        def hold():
            with store.writing(series):
                held.set()
                done.wait(patience(20))
            connections.close_all()

        thread = threading.Thread(target=hold)
        thread.start()
        try:
            assert held.wait(patience(20))
            yield
        finally:
            done.set()
            thread.join(patience(20))

    return holding


def write(writer, rows):
    writer.upsert(rows)
    writer.advance(rows[-1].candle_time, revised_from=None)


def put_all(store, rows, **fences):
    """Write the same rows to all series in one transaction; return the group."""
    with store.writing_group(
        {each: fences.get(each.symbol.split("/")[0]) for each in NAMES}
    ) as group:
        for writer in group.writers:
            write(writer, rows)
    return group


def stored(store):
    """Times and head of each series."""
    return {
        each: ([c.candle_time for c in store.read_after(each, -1, 99)], store.state(each).head)
        for each in NAMES
    }


def test_group_stores_every_series(store):
    put(store, candles(60), A)
    put_all(store, candles(120, 180))
    assert stored(store) == {
        A: ([60, 120, 180], 180),
        **{each: ([120, 180], 180) for each in (B, C, D)},
    }


def test_group_tells_repeated_and_changed_rows_of_each_series(store):
    put(store, candles(60, 120), A)
    put(store, candles(60), B)
    with store.writing_group(dict.fromkeys((A, B))) as group:
        done = {each.series: each.upsert(candles(60, 180)) for each in group.writers}
    assert done[A].inserted == done[B].inserted == [180]
    assert done[A].unchanged == done[B].unchanged == 1
    assert stored(store)[A][0] == [60, 120, 180]


def test_outdated_fence_is_left_out_alone(store):
    put_all(store, candles(60))
    old, new = store.next_fence(B), store.next_fence(B)
    group = put_all(store, candles(120), G1=old, G2=Fence(1, "another generation"))
    assert group.stale == {B, C}
    assert [head for _, head in stored(store).values()] == [120, 60, 60, 120]
    put_all(store, candles(180), G1=new)
    assert stored(store)[B] == ([60, 180], 180)


def test_locked_series_is_left_out_and_not_waited_for(store, elsewhere):
    with elsewhere(store, B):
        group = put_all(store, candles(60))
    assert group.busy == {B}
    assert [head for _, head in stored(store).values()] == [60, None, 60, 60]


def test_locks_end_with_the_group(store, elsewhere):
    put_all(store, candles(60))
    with elsewhere(store, A):
        pass


@pytest.mark.parametrize("has_row", [False, True])
@pytest.mark.parametrize("asks", [False, True])
def test_series_that_fails_does_so_alone(store, has_row, asks):
    if has_row:
        put(store, candles(60), B)
    before, undone, landed = store.series(), [], []
    with store.writing_group(dict.fromkeys(NAMES)) as group:
        for writer in group.writers:
            try:
                with group.alone(writer.series):
                    writer.on_rollback(lambda each=writer.series: undone.append(each))
                    writer.on_commit(lambda each=writer.series: landed.append(each))
                    write(writer, candles(120))
                    if asks:
                        # A statement of its own, and not only what is written at the end.
                        write(writer, candles(30, 60, 120, 180))
                    if writer.series == B:
                        raise RuntimeError
            except RuntimeError:
                assert writer.series == B
    assert undone == [B]
    assert sorted(landed) == [A, C, D]
    assert store.state(B).head == (60 if has_row else None)
    assert [each for each in store.series() if each.series == B] == before
    assert {store.state(each).head for each in (A, C, D)} == {180 if asks else 120}
    # The series was not recorded, so its first writer may record it.
    put(store, candles(240), B)
    assert store.state(B).head == 240


def test_group_that_fails_leaves_nothing(store):
    undone = []
    with pytest.raises(RuntimeError), store.writing_group(dict.fromkeys(NAMES)) as group:
        for writer in group.writers:
            writer.on_rollback(lambda each=writer.series: undone.append(each))
            write(writer, candles(60))
        raise RuntimeError
    assert undone == list(NAMES)
    assert {head for _, head in stored(store).values()} == {None}
