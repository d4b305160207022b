"""For tests of the stages: both stores, what their ledgers must hold, and random batches."""

from __future__ import annotations

import itertools
import json

import pytest
from hypothesis import HealthCheck
from hypothesis import strategies as st

from factors.domain.ledger import Rebuild
from factors.engines import Engines
from factors.stage import FactorStage
from factors.stores.memory import MemoryFactorLedger
from factors.stores.postgres import PostgresFactorLedger
from market.domain.series import SeriesId
from market.pipeline import Pipeline
from market.stores.memory import MemoryCandleStore
from market.stores.postgres import PostgresCandleStore

NUMBERS = itertools.count()
END = 10**10

KNOWN = {"suppress_health_check": [HealthCheck.function_scoped_fixture], "deadline": None}

# Batches by position of the first candle, size, change of prices, worker, and whether the last
# stage fails. So some candles come twice, late, or with other prices.
BATCHES = st.lists(
    st.tuples(
        st.integers(0, 60),
        st.integers(0, 30),
        st.sampled_from([0.0, 0.0, 0.0, 2.0]),
        st.integers(0, 1),
        st.sampled_from([False, False, False, True]),
    ),
    max_size=8,
)


def changed(candle, by=1.0):
    """The candle with a higher high and close."""
    return candle._replace(close=candle.close + by, high=candle.high + by)


def new_series(timeframe="1m"):
    """A series that no test has written to."""
    return SeriesId.parse(f"binance:futures:T{next(NUMBERS)}/USDT:{timeframe}")


class Failing:
    """A last stage that fails while `fails` is set."""

    name = "failing"

    def __init__(self):
        self.fails = False

    def apply(self, writer, change):
        if self.fails:
            raise RuntimeError
        return ()


class Worker:
    """One process's pipeline: a factor stage of its own on shared stores."""

    def __init__(self, stores, engine, **options):
        self.failing = Failing()
        stage = FactorStage(Engines(engine), stores.ledger, candles=stores.candles, **options)
        self.pipeline = Pipeline(stores.candles, [stage, self.failing])
        self.without_factors = Pipeline(stores.candles)

    def ingest(self, series, candles):
        return self.pipeline.ingest(series, candles)

    def rerun(self, series, from_time=None):
        return self.pipeline.rerun(series, Rebuild(from_time))


class Stores:
    """A candle store and the factor ledger beside it."""

    def __init__(self, candles, ledger):
        self.candles, self.ledger = candles, ledger

    def written(self, series):
        """Everything in the ledger, as text."""
        return [
            list(map(json.dumps, self.ledger.events(series, 0, END))),
            list(map(json.dumps, self.ledger.heads(series, 0, END))),
        ]

    def check(self, series, engine):
        """The ledger holds what a fresh fold of the candles up to its head gives."""
        position = self.ledger.position(series)
        head = -1 if position is None else position.head_time
        candles = self.candles.read_range(series, 0, max(head, 0), limit=END)
        assert (candles[-1].candle_time if candles else -1) == head
        assert self.written(series) == folded(engine, candles, series.timeframe)


def folded(engine, candles, timeframe):
    """What the ledger holds after these candles, as text."""
    state, events, heads = engine.initial(timeframe), [], []
    for candle in candles:
        result = engine.step(state, candle)
        events += [json.dumps(event) for event in result.events]
        heads += [json.dumps(head) for head in sorted(result.heads, key=lambda head: head.factor)]
    return [events, heads]


@pytest.fixture(params=["memory", "postgres"])
def stores(request, transactional_db):
    if request.param == "memory":
        return Stores(MemoryCandleStore(), MemoryFactorLedger())
    return Stores(PostgresCandleStore(), PostgresFactorLedger())
