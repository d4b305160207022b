"""A long history is added behind the head of a series that nobody follows, and a worker is killed.

The command stores more candles than any batch computes beyond its own; here no stage sees them.
"""

from __future__ import annotations

import time

import pytest

from lab.waiting import wait_until

SERIES = "sim:spot:BTC/USDT:1s"
HISTORY = 30_000
LEDGERS = """
SELECT series.head_time, coalesce(facts.head_time, 0), coalesce(drawn.head_time, 0)
FROM series LEFT JOIN factor_state AS facts ON facts.series_id = series.id
    LEFT JOIN overlay_state AS drawn ON drawn.series_id = series.id
WHERE name = %s
"""
# Bringing up takes seconds; after a kill, another process waits until the series is at rest.
REACHED_S = 120


def heads(stack):
    ((store, *ledgers),) = stack.sql(LEDGERS, SERIES)
    return store, min(ledgers)


@pytest.mark.prove
def test_ledgers_reach_the_head_although_their_worker_is_killed(stack):
    stack.local_exchange()
    stack.beat()
    worker = stack.worker()
    now = int(time.time())
    stack.manage(
        *("backfill", SERIES, "--from", str(now - HISTORY), "--to", str(now - 10)),
        TRADE_CANVAS_ENABLE_FACTOR_INGEST="0",
    )
    store, _ = heads(stack)
    wait_until(lambda: heads(stack)[1] > 0, 20, "ledgers to move at the end of the command")
    worker.kill()
    reached = heads(stack)[1]
    assert reached < store, "it was done before it was killed"
    stack.worker()
    wait_until(lambda: heads(stack) == (store, store), REACHED_S, "ledgers at the head")
    assert "DIFFERENT" not in stack.manage("verify", SERIES, "--no-progress")
