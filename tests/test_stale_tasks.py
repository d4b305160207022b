"""A backlog from a time without workers does not delay new work."""

from __future__ import annotations

import json
import sys
import time
from contextlib import closing

from lab.waiting import wait_until
from market.ingest.lease_store_valkey import connect

SERIES = "sim:spot:BTC/USDT:1m"
STALE = 100_000
AT_ONCE = 1000
CALL = (sys.executable, "-m", "celery", "--quiet", "-A", "trade_canvas", "call")
STARTED_S = 60.0


def message(installation, client, task, *arguments):
    """Send a task to the queue `control`, and take it from there as it is in the broker."""
    given = ("--args", json.dumps(arguments), "--queue", "control")
    call = installation.start("call", (*CALL, task, *given))
    assert call.wait() == 0, call.output()
    return json.loads(client.rpop(f"{installation.prefix}control"))


def test_a_hundred_thousand_stale_tasks_do_not_delay_a_new_one(stack):
    stack.local_exchange()
    with closing(connect(stack.valkey.url)) as client:
        queue = f"{stack.prefix}control"
        end = int(time.time()) // 60 * 60 - 60
        fresh = message(stack, client, "market.tasks.backfill", SERIES, end - 600, end)
        stale = message(stack, client, "market.tasks.reconcile")
        stale["headers"]["sent_at"] = time.time() - 3600
        stale["headers"]["expires"] = None
        many = [json.dumps(stale)] * AT_ONCE
        for _ in range(STALE // AT_ONCE):
            client.lpush(queue, *many)
        fresh["headers"]["sent_at"] = time.time()
        client.lpush(queue, json.dumps(fresh))
        stack.worker()
        wait_until(lambda: SERIES in stack.heads(), STARTED_S, "the new task's candles")
        assert client.llen(queue) == 0
