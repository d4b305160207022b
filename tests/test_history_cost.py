"""What older history costs a series that has candles, factors and watchers already."""

from __future__ import annotations

import pytest

from factors.domain.ledger import FactorUpdate
from factors.domain.tests.recordings import engine
from factors.engines import Engines
from factors.stage import FactorStage
from factors.stores.memory import MemoryFactorLedger
from market.committer import Committer
from market.ingest import backfill
from market.ingest.gap_ledger import MemoryGapLedger
from market.ingest.tests.exchange_fake import SERIES, FakeFeed, Published, at, candle_at
from market.pipeline import Pipeline
from market.stores.memory import MemoryCandleStore

CANDLES, AT_ONCE = 240, 60


@pytest.mark.parametrize("behind", [20, 60, 600])
async def test_candle_costs_the_same_however_many_pages_and_candles_there_are(monkeypatch, behind):
    monkeypatch.setattr(backfill, "PAST_AT_ONCE", AT_ONCE)
    store = MemoryCandleStore()
    stage = FactorStage(
        Engines(engine(2, 1)), MemoryFactorLedger(), candles=store, at_once=2 * AT_ONCE
    )
    ports = backfill.IngestPorts(
        store=store,
        committer=Committer(Pipeline(store, [stage])),
        ledger=MemoryGapLedger(),
        publisher=Published(),
    )
    ports.committer.pipeline.ingest(SERIES, map(candle_at, range(CANDLES, CANDLES + behind)))
    feed = FakeFeed(page=3)
    for number in range(CANDLES):
        feed.add_candle(number)

    await backfill.fill(feed, SERIES, at(0), at(CANDLES - 1), ports=ports)

    changes = ports.publisher.changes
    computed = sum(len(change.results.get(FactorUpdate).steps) for change in changes)
    assert computed <= 3 * CANDLES
    notices = [notice.event for change in changes for notice in change.notices]
    assert notices.count("candle.revised") == CANDLES // AT_ONCE
    assert notices.count("factor.rebuild") <= CANDLES // AT_ONCE
    assert store.count(SERIES) == CANDLES + behind
