"""The engine states that a stage keeps in memory."""

from __future__ import annotations

from factors.ledger_stage import KeptStates
from factors.stores.memory import MemoryFactorLedger
from factors.tests.ledgers import Stores, Worker, changed, new_series
from factors.tests.test_stage import ENGINE, WAVES
from market.stores.memory import MemoryCandleStore
from market.tests.builders import ReplacedStore


def test_least_recently_used_state_is_evicted():
    kept, series = KeptStates(most=2), [new_series() for _ in range(3)]
    for each in series[:2]:
        kept.put(each, str(each))
    kept.put(series[0], kept.take(series[0]))
    kept.put(series[2], "new")
    assert [kept.take(each) for each in series] == [str(series[0]), None, "new"]


def test_taken_state_is_gone_until_it_is_put_back():
    kept, series = KeptStates(), new_series()
    kept.put(series, "state")
    assert [kept.take(series), kept.take(series)] == ["state", None]


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
