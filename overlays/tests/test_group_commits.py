"""A group commit leaves what the same batches leave one by one, and a bad series fails alone."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from django.db import connection
from hypothesis import given
from hypothesis import strategies as st

from factors.domain.tests.recordings import candles_strategy
from factors.tests.ledgers import END, KNOWN, changed, new_series
from market.domain.change import Change
from market.domain.series import SeriesId
from market.domain.store import StaleFence
from market.pipeline import Batch, PipelineError
from market.stores import postgres
from market.stores.postgres_group import PostgresGroup
from market.stores.tests.planting import plant, unprotected
from overlays.tests.ledgers import Worker
from overlays.tests.test_stage import CANDLES, CountingCursor, postgres_stores
from tests.examples import examples

SIZE = 3

# For each round: who commits it, and for each series position and size of its batch, change of
# prices, and whether a stage fails behind it.
ROUNDS = st.lists(
    st.tuples(
        st.integers(0, 1),
        st.lists(
            st.tuples(
                st.integers(0, 60),
                st.integers(0, 30),
                st.sampled_from([0.0, 0.0, 0.0, 2.0]),
                st.sampled_from([False, False, False, True]),
            ),
            min_size=SIZE,
            max_size=SIZE,
        ),
    ),
    max_size=6,
)


class Workers:
    """Two processes on the same stores, whose last stage fails for the series in `bad`."""

    def __init__(self, stores, every=3):
        self.bad: set[SeriesId] = set()
        self.workers = [Worker(stores, every=every) for _ in range(2)]
        for worker in self.workers:
            worker.failing.apply = self._apply

    def _apply(self, writer, change):
        if writer.series in self.bad:
            raise RuntimeError("broken")
        return ()

    def grouped(self, number, batches):
        return self.workers[number].pipeline.ingest_group(batches)

    def singly(self, number, batches):
        for batch in batches:
            try:
                yield self.workers[number].ingest(batch.series, batch.candles)
            except PipelineError as error:
                yield error


def left(stores, series):
    """Everything that is stored of a series, but for its name and the numbers of its versions."""
    state, drawn = stores.candles.state(series), stores.drawings.state(series)
    versions = stores.versions(series)
    numbers = sorted(version.version_id for version in versions)
    assert numbers == [version.version_id for version in versions]
    assert drawn is None or not numbers or drawn.tick_id > numbers[-1]
    return json.dumps(
        [
            stores.candles.read_range(series, 0, END, limit=END),
            [state.head, state.epoch],
            stores.facts.position(series),
            stores.facts.events(series, 0, END),
            stores.facts.heads(series, 0, END),
            drawn and [drawn.position, drawn.takebacks],
            [version[1:] for version in versions],
        ],
        default=dict,
    )


def told(outcome):
    """What a caller learns of an outcome."""
    if isinstance(outcome, PipelineError):
        return outcome.step
    return (
        outcome.predecessor,
        outcome.state,
        outcome.fresh,
        outcome.past,
        outcome.revised_from,
        [each.event for each in outcome.notices],
    )


@examples(0.5, **KNOWN)
@given(candles=candles_strategy(max_size=80), rounds=ROUNDS)
def test_group_is_as_one_by_one(stores, candles, rounds):
    together, apart = ([new_series() for _ in range(SIZE)] for _ in range(2))
    workers = Workers(stores)
    # At the end all of them close one candle, whose states are kept or not.
    rounds = [*rounds, *((0, [(79 - n, 1, 0.0, False)] * SIZE) for n in (1, 0))]
    for number, given_batches in rounds:
        batches = [
            [changed(each, by) if by else each for each in candles[start : start + size]]
            for start, size, by, _ in given_batches
        ]
        workers.bad = {
            series
            for names in (together, apart)
            for series, (*_, fails) in zip(names, given_batches, strict=True)
            if fails
        }
        grouped = workers.grouped(number, list(map(Batch, together, batches)))
        singly = list(workers.singly(number, map(Batch, apart, batches)))
        assert list(map(told, grouped)) == list(map(told, singly))
    assert [left(stores, each) for each in together] == [left(stores, each) for each in apart]
    assert all(stores.is_exact(each) for each in together if stores.candles.state(each).head)


@pytest.fixture
def warm(stores):
    """Workers, and series of which the first one keeps the engines' states."""
    workers, series = Workers(stores), [new_series() for _ in range(8)]
    for each in series:
        workers.workers[0].ingest(each, CANDLES[:60])
    return workers, series


def closes(series, number=60):
    return [Batch(each, [CANDLES[number]]) for each in series]


def heads(stores, series):
    return [stores.candles.state(each).head for each in series]


def test_series_that_fails_is_alone_and_recovers(stores, warm):
    workers, series = warm
    workers.bad = {series[2]}
    outcomes = workers.grouped(0, closes(series))
    assert [type(each) for each in outcomes] == [Change] * 2 + [PipelineError] + [Change] * 5
    assert outcomes[2].reason.endswith("RuntimeError: broken")
    workers.bad = set()
    outcomes = workers.grouped(0, closes(series))
    assert [len(each.fresh) for each in outcomes] == [0, 0, 1, 0, 0, 0, 0, 0]
    assert all(stores.is_exact(each) for each in series)


def test_lost_fence_in_the_middle_is_alone(stores, warm):
    workers, series = warm
    fences = [stores.candles.next_fence(each) for each in series]
    stores.candles.next_fence(series[3])
    batches = [
        Batch(*batch[:2], fence) for batch, fence in zip(closes(series), fences, strict=True)
    ]
    outcomes = workers.grouped(0, batches)
    assert [type(each) for each in outcomes] == [Change] * 3 + [StaleFence] + [Change] * 4
    time = CANDLES[60].candle_time
    assert [head == time for head in heads(stores, series)] == [True] * 3 + [False] + [True] * 4


def test_repeats_in_a_group_change_nothing(stores, warm):
    workers, series = warm
    batch = [CANDLES[60], CANDLES[59], CANDLES[60]]
    (first, *_), again = (
        workers.grouped(0, [Batch(each, batch) for each in series]) for _ in range(2)
    )
    assert [each.candle_time for each in first.fresh] == [CANDLES[60].candle_time]
    assert all(each.is_empty for each in again)
    assert all(stores.is_exact(each) for each in series)


@contextmanager
def breaking(workers, series, statement) -> Iterator[None]:
    """The stage of one series leaves a statement that fails at the end of the transaction."""

    def apply(writer, change):
        if writer.series == series:
            writer.defer(compose, None)
        return ()

    def compose(cursor, entries):
        return statement

    for worker in workers.workers:
        worker.failing.apply = apply
    yield
    for worker in workers.workers:
        worker.failing.apply = lambda writer, change: ()


@pytest.mark.parametrize("statement", [b"SELECT 'text'::int", b"SELECT 1 / 0"])
def test_failure_without_a_name_is_found_by_halving(transactional_db, monkeypatch, statement):
    monkeypatch.setattr("market.pipeline.PAUSES_S", (0.0,))
    stores = postgres_stores()
    workers, series = Workers(stores), [new_series() for _ in range(8)]
    for each in series:
        workers.workers[0].ingest(each, CANDLES[:60])
    with breaking(workers, series[5], statement):
        outcomes = workers.grouped(0, closes(series))
    assert [type(each) for each in outcomes] == [Change] * 5 + [PipelineError] + [Change] * 2
    workers.grouped(0, closes(series))
    assert set(heads(stores, series)) == {CANDLES[60].candle_time}
    assert all(stores.is_exact(each) for each in series)


def test_ledger_that_was_moved_elsewhere_is_recomputed(transactional_db):
    stores = postgres_stores()
    workers, series = Workers(stores), [new_series() for _ in range(8)]
    for each in series:
        workers.workers[0].ingest(each, CANDLES[:60])
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE overlay_state SET fingerprint = 'other' WHERE series_id ="
            " (SELECT id FROM series WHERE name = %s)",
            [str(series[4])],
        )
    outcomes = workers.grouped(0, closes(series))
    assert [len(each.fresh) for each in outcomes] == [1] * 8
    assert all(stores.is_exact(each) for each in series)


def test_group_costs_three_round_trips(transactional_db, monkeypatch):
    stores = postgres_stores()
    workers, series = Workers(stores), [new_series() for _ in range(20)]
    for each in series:
        workers.workers[0].ingest(each, CANDLES[:60])
    cursors, begin = [], PostgresGroup.__init__

    def counted(group, cursor, fences, **options):
        cursors.append(CountingCursor(cursor))
        begin(group, cursors[-1], fences, **options)

    monkeypatch.setattr(PostgresGroup, "__init__", counted)
    for number in range(60, 70):
        workers.grouped(0, closes(series, number))
    # The locks, the rows, and everything that is written.
    assert [len(cursor.executed) for cursor in cursors] == [3] * 10
    assert all(stores.is_exact(each) for each in series)


@pytest.fixture
def statements(monkeypatch):
    """What is executed for candles and ledgers, in groups and in reads."""
    cursor_of, executed = postgres._cursor, []

    @contextmanager
    def counted():
        with cursor_of() as cursor:
            counting = CountingCursor(cursor)
            counting.executed = executed
            yield counting

    monkeypatch.setattr(postgres, "_cursor", counted)
    return executed


@pytest.mark.parametrize(("before", "every"), [(60, 40), (60, 512), (2, 3)])
def test_cold_series_are_read_together(transactional_db, statements, before, every):
    stores = postgres_stores()
    workers, series = Workers(stores, every), [new_series() for _ in range(20)]
    for each in series:
        workers.workers[0].ingest(each, CANDLES[:before])
    for number in range(before, before + 2):
        statements.clear()
        outcomes = workers.grouped(1, closes(series, number))
        assert [len(each.fresh) for each in outcomes] == [1] * 20
        # The locks, the rows, states and candles of both ledgers once, and what is written.
        assert len(statements) == (6 if number == before else 3)
    assert all(stores.is_exact(each) for each in series)


def test_cold_series_that_can_not_be_prepared_fails_or_recovers_alone(transactional_db, statements):
    stores = postgres_stores()
    workers, series = Workers(stores), [new_series() for _ in range(8)]
    for each in series:
        workers.workers[0].ingest(each, CANDLES[:60])
    key = "series_id = (SELECT id FROM series WHERE name = %s)"
    with unprotected():
        with connection.cursor() as cursor:
            for change, each in (
                ("factor_checkpoints SET data = '{'", series[2]),
                ("overlay_checkpoints SET data = '7'", series[3]),
                ("factor_state SET epoch = 5", series[4]),
            ):
                cursor.execute(f"UPDATE {change} WHERE {key}", [str(each)])
        plant(series[5], CANDLES[59]._replace(close=math.nan))
        statements.clear()
        outcomes = workers.grouped(1, closes(series))
        failed = {
            series[number]: outcome.reason
            for number, outcome in enumerate(outcomes)
            if isinstance(outcome, PipelineError)
        }
        assert failed.keys() == {series[3], series[5]}
        assert "AttributeError" in failed[series[3]] and "series_damaged" in failed[series[5]]
        assert [sql for sql, *_ in statements].count(postgres.RANGES) == 1
        assert all(stores.is_exact(each) for each in set(series) - failed.keys())
