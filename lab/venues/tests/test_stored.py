"""From an exchange's answers into the store and the gap ledger."""

from __future__ import annotations

import pytest

from lab.venues.habits import Habits, Wrong
from lab.venues.table import VENUES
from lab.venues.tests.test_habits import END, QUIET, SPAN, START, TRUTH, truth_of
from lab.venues.venue import open_venue, series_at
from market.exchanges.ccxt_feed import CcxtFeed
from market.ingest.backfill import fill
from market.ingest.gap_ranges import GapState
from market.ingest.tests.exchange_fake import memory_ports


def _times(entry):
    return set(range(entry.from_time, entry.to_time + 1, 60))


@pytest.mark.parametrize("exchange", ["binance", "okx", "coinbase"])
@pytest.mark.parametrize(
    ("habits", "states"),
    [
        (Habits(cap=100), set()),
        (Habits(cap=200, wrong={3: Wrong.EMPTY}), set()),
        (
            Habits(cap=200, wrong=dict.fromkeys(range(3, 40), Wrong.MAINTENANCE)),
            {GapState.UNANSWERED},
        ),
        (Habits(cap=200, spoiled=frozenset({START + 600})), {GapState.DROPPED}),
    ],
    ids=["pages", "one empty", "maintenance", "a refused row"],
)
async def test_store_has_the_truth_and_the_ledger_the_rest(exchange, habits, states):
    ports, series = memory_ports(), series_at(exchange, "spot")
    client = open_venue(VENUES[exchange, "spot"], TRUTH, habits)
    feed = CcxtFeed(exchange, "spot", client=client)
    # The newest candles are there: what lies between is a hole.
    await fill(feed, series, END - 20 * 60, END, ports=ports)
    await fill(feed, series, *SPAN, ports=ports)
    await feed.close()
    traded = truth_of(SPAN)
    stored = {
        one.candle_time: one for one in ports.store.read_range(series, START, END, limit=1_000)
    }
    assert stored == {time: traded[time] for time in stored}
    noted = {time: entry.state for entry in ports.ledger.entries(series) for time in _times(entry)}
    assert {time for time, state in noted.items() if state is GapState.QUIET} <= QUIET
    lost = set(traded) - set(stored)
    assert {noted[time] for time in lost} <= states
