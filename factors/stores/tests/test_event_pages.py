"""What a page of events costs in PostgreSQL, which tests of the contract do not see."""

from __future__ import annotations

import pytest
from django.db import connection

from factors.domain.ledger import EventPlace, Position
from factors.domain.values import Event, StepResult
from factors.stores import event_pages
from factors.stores.postgres import PostgresFactorLedger
from market.stores.postgres import PostgresCandleStore
from market.tests.builders import MINUTE

STORED = 20_000
LIMIT = 50
END = 10**12

pytestmark = pytest.mark.django_db(transaction=True)


def blocks_read(statement, values):
    """The blocks of tables and indexes that a statement reads."""
    with connection.cursor() as cursor:
        explained = statement.replace("WITH", "EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) WITH", 1)
        cursor.execute(explained, values)
        plan = cursor.fetchone()[0][0]["Plan"]
    return plan["Shared Hit Blocks"] + plan["Shared Read Blocks"]


@pytest.fixture
def statements(monkeypatch):
    """The statements of pages, with their values."""
    seen = []
    read_rows = event_pages.read_rows

    def recorded(statement, values):
        seen.append((statement, values))
        return read_rows(statement, values)

    monkeypatch.setattr(event_pages, "read_rows", recorded)
    monkeypatch.setattr(event_pages, "MOST_SKIPPED", LIMIT)
    return seen


@pytest.mark.parametrize("is_analyzed", [False, True])
@pytest.mark.parametrize("kinds", [None, ["pivot.major"]])
def test_page_costs_the_same_wherever_it_begins(statements, kinds, is_analyzed):
    events = [
        Event("pen", "pen.confirmed", 60 * number, f"k{number}", {"visible_time": 60 * number})
        for number in range(STORED)
    ]
    ticks = [StepResult(each.candle_time, [each], []) for each in events]
    ledger = PostgresFactorLedger()
    with PostgresCandleStore().writing(MINUTE) as writer:
        ledger.writing(writer).append(None, Position(60 * STORED, 0, "logic"), ticks)
    first = ledger.event_page(MINUTE, start=0, end=END, kinds=None, limit=1).events[0].number
    if is_analyzed:
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE factor_events")
    del statements[:]
    for number in (0, STORED // 2, STORED - 2 * LIMIT):
        place = EventPlace(60 * number, first + number)
        page = ledger.event_page(MINUTE, start=place, end=END, kinds=kinds, limit=LIMIT)
        assert page.is_unbroken
        reached = number + LIMIT + bool(kinds)
        assert page.last == EventPlace(60 * reached, first + reached)
    costs = [blocks_read(*each) for each in statements]
    # The whole ledger has some 400 blocks.
    assert max(costs) < 60, costs
