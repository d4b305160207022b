"""One contract for every candle store; other tests use the memory store as a fake."""

from __future__ import annotations

import threading

import pytest
from django.db import connections
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from lab.waiting import patience
from market.domain.candle import Candle
from market.domain.gaps import Gap
from market.domain.series import SeriesId
from market.domain.store import SeriesState, SeriesStats, StaleFence, Upserted
from market.stores.memory import MemoryCandleStore
from market.stores.postgres import PostgresCandleStore
from market.stores.postgres_writer import COPY_FROM_ROWS
from market.tests.builders import MINUTE, candle, candles
from tests.examples import examples

OTHER = SeriesId.parse("binance:spot:ETH/USDT:1m")


@pytest.fixture(params=[MemoryCandleStore, PostgresCandleStore])
def store(request, transactional_db):
    return request.param()


def put(store, rows, series=MINUTE, **options):
    """Upsert rows and record the head, as the pipeline does."""
    with store.writing(series, **options) as writer:
        done = writer.upsert(rows)
        head = max([row.candle_time for row in rows] + [writer.state.head or 0])
        writer.advance(head, revised_from=None)
    return done


def test_upsert_separates_new_changed_and_repeated_rows(store):
    put(store, candles(60, 120))
    done = put(store, [candle(60), candle(120, close=1.7), candle(180)])
    assert done == Upserted([180], [120], 1)
    assert store.read_after(MINUTE, 0, 10) == [candle(60), candle(120, close=1.7), candle(180)]


def test_upsert_in_bulk_gives_the_same_result(store):
    rows = candles(*range(60, 60 * (2 * COPY_FROM_ROWS), 60))
    put(store, rows)
    changed = [*rows[:-1], candle(rows[-1].candle_time, close=1.9)]
    done = put(store, [*changed, candle(rows[-1].candle_time + 60)])
    assert done == Upserted([rows[-1].candle_time + 60], [rows[-1].candle_time], len(rows) - 1)
    assert store.count(MINUTE) == len(rows) + 1


def test_bulk_beyond_the_head_is_appended(store):
    first = candles(*range(60, 60 * (COPY_FROM_ROWS + 2), 60))
    assert put(store, first) == Upserted([row.candle_time for row in first], [], 0)
    start = first[-1].candle_time + 60
    hard = Candle(start, 0.1 + 0.2, 1.7e308, -1e300, 5e-324, 0.0)
    rows = [hard, *candles(*range(start + 60, start + 60 * (COPY_FROM_ROWS + 2), 60))]
    with store.writing(MINUTE) as writer:
        done = writer.upsert(rows)
        state = writer.advance(rows[-1].candle_time, revised_from=None)
    assert done == Upserted([row.candle_time for row in rows], [], 0)
    assert store.read_after(MINUTE, 0, 999) == first + rows
    assert store.state(MINUTE) == state


def test_bulk_that_fails_leaves_nothing(store):
    rows = candles(*range(60, 60 * (COPY_FROM_ROWS + 2), 60))
    with pytest.raises(RuntimeError), store.writing(MINUTE) as writer:
        writer.upsert(rows)
        raise RuntimeError
    assert store.series() == []
    put(store, rows)
    assert store.count(MINUTE) == len(rows)


def test_upsert_of_nothing(store):
    with store.writing(MINUTE) as writer:
        assert writer.upsert([]) == Upserted([], [], 0)


def test_prices_are_stored_exactly(store):
    odd = candle(60, close=0.1 + 0.2, volume=1e-320)._replace(high=1.7976931348623157e308)
    put(store, [odd])
    assert store.newest(MINUTE, 1) == [odd]


def test_failed_transaction_leaves_nothing(store):
    undone = []
    with pytest.raises(RuntimeError), store.writing(MINUTE) as writer:
        writer.on_rollback(lambda: undone.append("stage"))
        writer.on_commit(lambda: undone.append("landed"))
        writer.upsert(candles(60))
        writer.advance(60, revised_from=None)
        raise RuntimeError
    assert (store.newest(MINUTE, 10), store.state(MINUTE).head) == ([], None)
    assert undone == ["stage"]


def test_commit_calls_the_stages_back(store):
    called = []
    with store.writing(MINUTE) as writer:
        writer.on_rollback(lambda: called.append("undone"))
        writer.on_commit(lambda: called.append("committed"))
        writer.upsert(candles(60))
        assert called == []
    assert called == ["committed"]


def test_revision_increments_the_epoch_and_is_recorded(store):
    put(store, candles(60, 120, 180))
    for revised_from in (120, 60, 180):
        with store.writing(MINUTE) as writer:
            state = writer.advance(180, revised_from=revised_from)
    assert state == store.state(MINUTE) == SeriesState(180, 3, store.generation())
    assert [store.revised_since(MINUTE, epoch) for epoch in (0, 1, 2, 3)] == [60, 60, 180, None]


def test_only_the_newest_fence_may_write(store):
    put(store, candles(60))
    old, new = store.next_fence(MINUTE), store.next_fence(MINUTE)
    assert new > old
    for stale in (old, new._replace(generation="another")):
        with pytest.raises(StaleFence):
            put(store, candles(120), fence=stale)
    put(store, candles(180), fence=new)
    assert store.newest(MINUTE, 10) == candles(60, 180)


def test_first_candle_of_the_newest_fence_stales_older_ones(store):
    old, new = store.next_fence(MINUTE), store.next_fence(MINUTE)
    with pytest.raises(StaleFence):
        put(store, candles(60), fence=new._replace(generation="another"))
    put(store, candles(60), fence=new)
    with pytest.raises(StaleFence):
        put(store, candles(120), fence=old)


def test_writers_of_a_series_wait_for_each_other(store):
    entered, order = threading.Event(), []

    def second():
        entered.wait(patience(5))
        with store.writing(MINUTE) as writer:
            order.append(("second", writer.state.head))
        connections.close_all()

    thread = threading.Thread(target=second)
    thread.start()
    with store.writing(MINUTE) as writer:
        entered.set()
        thread.join(0.2)
        order.append(("first", None))
        writer.upsert(candles(60))
        writer.advance(60, revised_from=None)
    thread.join(patience(5))
    assert order == [("first", None), ("second", 60)]


def test_reads_by_cursor(store):
    put(store, candles(60, 120, 180, 240))
    assert store.read_after(MINUTE, 60, 2) == candles(120, 180)
    assert store.read_after(MINUTE, 240, 2) == []
    assert store.newest(MINUTE, 2) == candles(180, 240)
    assert store.newest(MINUTE, 2, up_to=200) == candles(120, 180)
    assert store.read_range(MINUTE, 120, 240, limit=2) == candles(120, 180)


def test_points_of_a_series(store):
    put(store, candles(60, 120, 300))
    assert (store.first(MINUTE), store.state(MINUTE).head) == (60, 300)
    assert [store.floor(MINUTE, time) for time in (59, 60, 299, 10**9)] == [None, 60, 120, 300]
    assert (store.count(MINUTE), store.count(MINUTE, 120, 300)) == (3, 2)


def test_gaps_of_a_series(store):
    put(store, candles(60, 120, 300, 360, 600))
    assert store.gaps(MINUTE) == [Gap(120, 300), Gap(360, 600)]
    assert store.gaps(MINUTE, 300, 10_000) == [Gap(360, 600)]


def test_empty_series(store):
    assert store.state(MINUTE) == SeriesState(None, 0, store.generation())
    assert (store.first(MINUTE), store.floor(MINUTE, 5), store.count(MINUTE)) == (None, None, 0)
    assert (store.newest(MINUTE, 5), store.gaps(MINUTE), store.series()) == ([], [], [])


def test_series_are_independent(store):
    put(store, candles(60, 120))
    put(store, candles(120), series=OTHER)
    unknown = SeriesId.parse("a:b:c:1m")
    assert store.states([MINUTE, OTHER, unknown]) == {
        MINUTE: SeriesState(120, 0, store.generation()),
        OTHER: SeriesState(120, 0, store.generation()),
        unknown: SeriesState(None, 0, store.generation()),
    }
    assert store.series() == [SeriesStats(MINUTE, 60, 120, 2), SeriesStats(OTHER, 120, 120, 1)]


batches = st.lists(
    st.dictionaries(st.integers(0, 12), st.sampled_from([1.1, 1.2]), max_size=6), max_size=6
)


@given(batches)
@examples(0.8, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_memory_store_is_a_mapping_in_time_order(given_batches):
    store, model = MemoryCandleStore(), {}
    for batch in given_batches:
        rows = [candle(60 * minute, close) for minute, close in sorted(batch.items())]
        fresh = [row.candle_time for row in rows if row.candle_time not in model]
        changed = [r.candle_time for r in rows if model.get(r.candle_time, r) != r]
        assert put(store, rows) == Upserted(fresh, changed, len(rows) - len(fresh) - len(changed))
        model |= {row.candle_time: row for row in rows}
    assert store.read_after(MINUTE, -1, 100) == [model[time] for time in sorted(model)]


def test_ranges_of_several_series_are_read_together(store):
    unknown = SeriesId.parse("binance:spot:SOL/USDT:1m")
    put(store, candles(60, 120, 180, 240))
    put(store, candles(120, 180), OTHER)
    spans = {OTHER: (0, 120), MINUTE: (120, 180), unknown: (0, 999)}
    assert store.read_ranges(spans, limit=2) == {
        OTHER: candles(120),
        MINUTE: candles(120, 180),
        unknown: [],
    }
    assert store.read_ranges(spans, limit=1) == {OTHER: candles(120), unknown: []}
    assert store.read_ranges({}, limit=1) == {}
