"""Whole series read page by page: events against the ledger, live feature rows against the past's.

`make prove` reads long series, the suite short ones of the same kind.
"""

from __future__ import annotations

import itertools
import json

import orjson
import pytest
from django.conf import settings
from django.db import connection

from factors import events, features, runtime
from factors.domain.features import FeatureTable, feature_row
from lab.benchmarks.samples import new_series, walk
from market.api.tests.conftest import either_store, fresh_process, in_memory, on_postgres, switch
from market.runtime import candle_store, pipeline

__all__ = ["either_store", "fresh_process", "in_memory", "on_postgres", "switch"]

BATCH = 5_000


def candles(count):
    return list(itertools.islice(walk(), count))


def batches(count):
    found = candles(count)
    return [found[at : at + BATCH] for at in range(0, count, BATCH)]


def rows_of_table(series):
    """The rows of the table itself, without the code that reads pages."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT id, candle_time, factor_name, kind, event_key, payload FROM factor_events"
            " WHERE series_id = (SELECT id FROM series WHERE name = %s) ORDER BY candle_time, id",
            [str(series)],
        )
        return [(*row[:-1], orjson.loads(row[-1])) for row in cursor.fetchall()]


@pytest.mark.parametrize("count", [3_000, pytest.param(100_000, marks=pytest.mark.prove)])
@pytest.mark.usefixtures("on_postgres")
def test_pages_of_a_long_series_are_the_rows_of_the_ledger(switch, count):
    switch(enable_dense_ledger=False)
    series = new_series()
    for batch in batches(count):
        pipeline().ingest(series, batch)
    rows = rows_of_table(series)
    assert len(rows) > count / 20
    for limit in (997, events.MOST_EVENTS):
        found = [
            (
                number,
                event.candle_time,
                event.factor,
                event.kind,
                event.event_key,
                dict(event.payload),
            )
            for page in events.pages(series, limit=limit)
            for number, event in page.events
        ]
        assert found == rows


@pytest.mark.parametrize("count", [3_000, pytest.param(100_000, marks=pytest.mark.prove)])
@pytest.mark.usefixtures("on_postgres")
def test_pages_of_a_dense_ledger_are_what_factors_report(switch, count):
    switch(enable_dense_ledger=True)
    series, engine = new_series(), runtime.engine()
    state, reported = engine.initial(series.timeframe), []
    for batch in batches(count):
        pipeline().ingest(series, batch)
        for candle in batch:
            reported += engine.step(state, candle).events
    found = [
        event._replace(payload=dict(event.payload))
        for page in events.pages(series, limit=997)
        for _, event in page.events
    ]
    assert list(map(json.dumps, found)) == list(map(json.dumps, reported))


@pytest.mark.parametrize("count", [200, pytest.param(50_000, marks=pytest.mark.prove)])
@pytest.mark.usefixtures("either_store")
def test_live_rows_are_those_of_the_past(switch, count):
    if count < BATCH:
        # Or so few candles have hardly an event.
        switch(pivot_window_major=5, pivot_window_minor=2)
    live, past, found = new_series(), new_series(), candles(count)
    seen = []
    # Candle by candle, as they close; now and then some that came late together, which are more
    # where each batch is a transaction and there are many.
    late = 73 if settings.SWITCHES.enable_pg_store and count > BATCH else 4
    sizes = itertools.cycle([1, 1, 1, 1, 1, 1, 1, late])
    rest = iter(found)
    while batch := list(itertools.islice(rest, next(sizes))):
        pipeline().ingest(live, batch)
        table = features.read_features(live, start=batch[0].candle_time).table
        assert table.candle_time == [each.candle_time for each in batch]
        for at in range(len(batch)):
            seen.append({name: v[at] for name, v in table.columns.items() if v[at] is not None})
    pipeline().ingest(past, found)
    whole = FeatureTable()
    engine = runtime.engine()
    state = engine.initial(past.timeframe)
    for step in engine.fold(state, found):
        whole.add(feature_row(step.candle_time, step.events))
    for series in (live, past):
        assert joined(features.feature_pages(series, columns=list(whole.columns))) == (
            whole.candle_time,
            whole.columns,
        )
    assert len(whole.columns) > 8
    assert seen == [
        {name: column[at] for name, column in whole.columns.items() if column[at] is not None}
        for at in range(count)
    ]
    assert candle_store().count(live) == count


def joined(pages):
    """The columns of all pages as one table."""
    times, columns = [], {}
    for page in pages:
        times += page.table.candle_time
        for name, values in page.table.columns.items():
            columns.setdefault(name, []).extend(values)
    return times, columns
