"""The engine states that a stage keeps in memory."""

from __future__ import annotations

import pytest

from factors.domain.ledger import Position
from factors.engine_states import LEAST, MOST, Kept, KeptStates, Logic
from factors.stores.memory import MemoryFactorLedger
from factors.tests.ledgers import Stores, Worker, changed, new_series
from factors.tests.test_stage import ENGINE, WAVES
from market.stores.memory import MemoryCandleStore
from market.tests.builders import ReplacedStore


def kept_state(name, candle_count=1):
    return Kept(Position(0, 0, ""), name, candle_count, "", Logic(None, ""))


@pytest.mark.parametrize(("candle_count", "size"), [(1, LEAST), (5_000, 5_000), (10**6, MOST)])
def test_least_recently_used_state_is_evicted(candle_count, size):
    kept, series = KeptStates(most=2 * size), [new_series() for _ in range(3)]
    states = [kept_state(str(each), candle_count) for each in series]
    for each in (0, 1, 0):
        kept.put(series[each], states[each])
    kept.put(series[0], kept.take(series[0]))
    kept.put(series[2], states[2])
    assert [kept.take(each) for each in series] == [states[0], None, states[2]]
    # What was taken leaves its room.
    for each in (1, 2):
        kept.put(series[each], states[each])
    assert [kept.take(each) for each in series[1:]] == states[1:]


def test_taken_state_is_gone_until_it_is_put_back():
    kept, series, state = KeptStates(), new_series(), kept_state("state")
    kept.put(series, state)
    assert [kept.take(series), kept.take(series)] == [state, None]


class ReplacedLedger:
    """A ledger in whose place another may be put, as by a failover or a restore."""

    def __init__(self):
        self.current = MemoryFactorLedger()

    def __getattr__(self, name):
        return getattr(self.current, name)

    def writing(self, writer):
        return self.current.writing(writer)


def test_state_is_not_continued_in_another_generation_of_the_store():
    """The store lost the newest candle and has another one: the position is the same."""
    stores, series = Stores(ReplacedStore(), ReplacedLedger()), new_series()
    worker = Worker(stores, ENGINE)
    worker.ingest(series, WAVES[:30])
    stores.candles.current, stores.ledger.current = MemoryCandleStore(), MemoryFactorLedger()
    Worker(stores, ENGINE).ingest(series, [*WAVES[:29], changed(WAVES[29], 9.0)])
    worker.ingest(series, WAVES[30:])
    stores.check(series, ENGINE)
