"""Candles in compressed chunks: written, revised and removed as in others."""

from __future__ import annotations

import math

import pytest
from django.db import IntegrityError, connection
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from market.domain.series import SeriesId
from market.domain.store import Upserted
from market.stores import postgres_timescale as timescale
from market.stores import postgres_writer
from market.stores.candle_checks import (
    NAME,
    POSSIBLE,
    ConstraintState,
    ImpossibleCandles,
    add_constraint,
    constraint_state,
    drop_constraint,
    remove,
    wrong_rows,
)
from market.stores.postgres import PostgresCandleStore
from market.stores.postgres_writer import COPY_FROM_ROWS
from market.stores.tests.hypertables import (
    DAY,
    PLAN,
    compress_all,
    decompression_limit,
    needs_timescale,
    restored,
    sql,
)
from market.stores.tests.planting import plant
from market.stores.tests.test_store_contract import put
from market.tests.builders import MINUTE, candle, candles
from tests.examples import examples

START = 1_700_006_400
"""The begin of a chunk."""

pytestmark = [needs_timescale, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def store():
    """The store on the session's hypertable, which each test leaves as it was."""
    with restored():
        yield PostgresCandleStore()


def minutes(count, *, start=START):
    return candles(*range(start, start + count * 60, 60))


def compressed(store, rows, *series):
    for each in series or (MINUTE,):
        put(store, rows, each)
    compress_all()


def takes_constraint():
    """Whether this TimescaleDB adds a constraint to a compressible hypertable: from 2.20 on."""
    ((version,),) = sql("SELECT extversion FROM pg_extension WHERE extname = 'timescaledb'")
    return tuple(map(int, version.split(".")[:2])) >= (2, 20)


def test_rows_are_compared(store):
    rows = minutes(10)
    compressed(store, rows[:5] + rows[6:])
    revised = candle(rows[2].candle_time, close=1.9)
    done = put(store, [rows[1], revised, rows[5]])
    assert done == Upserted([rows[5].candle_time], [revised.candle_time], 1)
    assert store.read_after(MINUTE, 0, 20) == [*rows[:2], revised, *rows[3:]]


def test_rows_are_compared_in_bulk(store):
    rows = minutes(20_000)
    compressed(store, rows)
    revised = candle(rows[7].candle_time, close=1.9)
    more = minutes(5, start=rows[-1].candle_time + 60)
    done = put(store, [*rows[:7], revised, *rows[8:], *more])
    assert done == Upserted([row.candle_time for row in more], [revised.candle_time], 19_999)


def test_sparse_bulk_passes_the_limit_of_decompression(store):
    rows = minutes(2 * COPY_FROM_ROWS)
    compressed(store, rows)
    with decompression_limit(10):
        done = put(store, rows[: COPY_FROM_ROWS + 1])
    assert done == Upserted([], [], COPY_FROM_ROWS + 1)


def test_group_of_late_candles_passes_the_limit_of_decompression(store):
    series = [SeriesId.parse(f"binance:spot:G{number}/USDT:1m") for number in range(8)]
    rows = minutes(100)
    compressed(store, rows, *series)
    late = candle(rows[50].candle_time, close=1.9)
    with decompression_limit(150), store.writing_group(dict.fromkeys(series)) as group:
        done = [writer.upsert([late]) for writer in group.writers]
    assert done == [Upserted([], [late.candle_time], 0)] * len(series)
    assert all(
        store.read_range(each, *[late.candle_time] * 2, limit=9) == [late] for each in series
    )


def test_removal_passes_the_limit_of_decompression(store):
    rows = minutes(3_000)
    compressed(store, rows)
    with decompression_limit(10), store.writing(MINUTE) as writer:
        remove(writer, rows[100:2_900:7])
    assert store.count(MINUTE) == len(rows) - len(rows[100:2_900:7])


def test_append_behind_a_head_finds_what_is_there(store):
    rows = minutes(COPY_FROM_ROWS + 5)
    compressed(store, rows)
    sql("UPDATE series SET head_time = %s", rows[1].candle_time)
    put(store, rows[2:])
    assert store.read_after(MINUTE, 0, 999) == rows


def test_chunks_are_checked_before_the_constraint_is_added(store):
    rows = minutes(50)
    drop_constraint(connection)
    compressed(store, rows)
    assert add_constraint(connection) == takes_constraint()
    drop_constraint(connection)
    plant(MINUTE, rows[20]._replace(close=math.nan))
    with pytest.raises(ImpossibleCandles, match="1 stored candles are impossible"):
        add_constraint(connection)
    with store.writing(MINUTE) as writer:
        remove(writer, [wrong.candle for wrong in wrong_rows(connection, MINUTE)])
    assert add_constraint(connection) == takes_constraint()
    assert store.read_after(MINUTE, 0, 99) == rows[:20] + rows[21:]
    # Conversion takes it along, and adds it where there was none.
    timescale.disable(connection)
    assert add_constraint(connection)
    timescale.enable(connection, PLAN)
    assert constraint_state(connection) is ConstraintState.VALID


def test_constraint_that_was_never_validated_is_validated(store):
    rows = minutes(50)
    put(store, rows)
    drop_constraint(connection)
    sql(f"ALTER TABLE candles ADD CONSTRAINT {NAME} CHECK ({POSSIBLE}) NOT VALID")
    compress_all()
    assert add_constraint(connection) == takes_constraint()
    valid, unchanged = ConstraintState.VALID, ConstraintState.NOT_VALIDATED
    assert constraint_state(connection) is (valid if takes_constraint() else unchanged)
    with pytest.raises(IntegrityError, match=NAME):
        plant(MINUTE, candle(rows[0].candle_time, close=math.nan))
    drop_constraint(connection)
    timescale.disable(connection)
    add_constraint(connection)


times = st.integers(0, 60).map(lambda number: START + 6 * DAY + 23 * 3600 + number * 120)
steps = st.one_of(
    st.just("compress"),
    st.tuples(
        st.sampled_from(["put", "remove"]),
        st.dictionaries(times, st.sampled_from([1.2, 1.5, 1.9]), min_size=1, max_size=9),
    ),
)


@examples(0.5, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(drawn=st.lists(steps, max_size=8))
def test_property_any_order_of_writes_removals_and_compressions(store, monkeypatch, drawn):
    # Both ways of writing, with few rows, across two chunks.
    monkeypatch.setattr(postgres_writer, "COPY_FROM_ROWS", 5)
    stored = {}
    sql("TRUNCATE candles, series")
    for step in drawn:
        if step == "compress":
            if stored:
                compress_all()
            continue
        action, given_rows = step
        rows = [candle(time, close=close) for time, close in sorted(given_rows.items())]
        if action == "put":
            done = put(store, rows)
            assert done.inserted == [row.candle_time for row in rows if row[0] not in stored]
            assert done.revised == [row[0] for row in rows if stored.get(row[0], row) != row]
            stored |= {row.candle_time: row for row in rows}
        elif stored:
            with store.writing(MINUTE) as writer:
                remove(writer, rows)
            stored = {time: row for time, row in stored.items() if time not in given_rows}
        expected = [stored[time] for time in sorted(stored)]
        assert store.read_after(MINUTE, 0, 999) == expected
        assert store.newest(MINUTE, 5) == expected[-5:]
        assert store.count(MINUTE) == len(expected)
